"""One odd value or row costs no other: what Apollo might send, in every kind of stream, through the whole tap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.client import Client
from tests.singer import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Upset = Callable[[str, Callable[[Any], object]], None]


@pytest.fixture(scope="module")
def small() -> Iterator[Sandbox]:
    """A sandbox whose lists fit on a page, as no row may hide behind another page."""
    with Sandbox(Settings(contacts=40, users=3)).serve() as running:
        yield running


@pytest.fixture
def upset(monkeypatch: pytest.MonkeyPatch) -> Upset:
    """Let a change be made to each reply of an endpoint, before the tap decodes it."""

    def upset(path: str, change: Callable[[Any], object]) -> None:
        send = Client._send

        def changed(client: Client, request: requests.PreparedRequest, stream: str) -> requests.Response:
            response = send(client, request, stream)
            if urlsplit(str(request.url)).path.endswith(f"/{path}") and response.ok:
                reply = json.loads(response.content)
                new = change(reply)
                response._content = json.dumps(reply if new is None else new).encode()
            return response

        monkeypatch.setattr(Client, "_send", changed)

    return upset


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


HALF, ZERO = "x\ud83d", "x\0y"


class TestText:
    def test_half_a_character_is_replaced_wherever_it_stands_and_said_once_a_column(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        def change(reply: Any) -> None:
            for row in reply["contacts"]:
                row["title"] = HALF
                row["account"] = {"name": HALF}
                row["novelty"] = {HALF: [HALF]}

        upset("contacts/search", change)
        run = sync(small, "contacts", "users", strict=True)
        assert run.error is None
        assert len(run.records["contacts"]) == 40
        assert run.records["users"]
        for row in run.records["contacts"]:
            assert row["title"] == row["account"]["name"] == "x\ufffd"
            assert row["_unknown"] == {"novelty": {"x\ufffd": ["x\ufffd"]}}
        said = [line for line in warnings(caplog) if "half a character" in line]
        assert said == [
            f"contacts: a value of `{column}` holds half a character; it is loaded as U+FFFD."
            for column in ("title", "account", "novelty")
        ]

    def test_the_character_nul_is_dropped(self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture) -> None:
        upset(
            "emailer_messages/search",
            lambda reply: [row.update(subject=ZERO) for row in reply["emailer_messages"]] and None,
        )
        run = sync(small, "outreach_emails", strict=True)
        assert run.error is None
        assert {row["subject"] for row in run.records["outreach_emails"]} == {"xy"}
        (line,) = warnings(caplog)
        assert line == "outreach_emails: a value of `subject` holds the character NUL; it is loaded without."

    def test_the_label_and_the_options_of_a_custom_field_are_mended_in_schema_and_rows(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        def change(reply: Any) -> None:
            for field in reply["typed_custom_fields"]:
                field["name"] += HALF + ZERO
                for option in field.get("picklist_values") or ():
                    option["name"] += HALF

        upset("typed_custom_fields", change)
        run = sync(small, "contacts", strict=True)
        assert run.error is None
        columns = run.schemas["contacts"]["schema"]["properties"]["custom_fields"]["properties"]
        assert all(column["title"].endswith("x\ufffdxy") for column in columns.values())
        values = [value for row in run.records["contacts"] for value in (row["custom_fields"] or {}).values()]
        chosen = [option for value in values if isinstance(value, list) for option in value]
        assert chosen
        assert all(option.endswith("x\ufffd") for option in chosen)
        assert all("custom_fields: a value of `" in line for line in warnings(caplog))
