"""Every operation of Apollo's that reads is used or covered, and none that writes is ever sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from requests.adapters import HTTPAdapter

from apollo_sandbox.app import ENDPOINTS
from scripts.operations import Operation, read_operations
from tap_apollo.streams import STREAMS
from tests.singer import sync
from tests.test_sync import EVERYTHING

if TYPE_CHECKING:
    import requests

    from apollo_sandbox import Sandbox

OPERATIONS = {(one.verb, one.path): one for one in read_operations()}
USES = {"read", "covered", "never", "credentials"}


def operation_for(verb: str, path: str) -> Operation | None:
    """Return the operation that a request is for: the one with the most parts that do not vary."""

    def fits(pattern: str) -> bool:
        parts, given = pattern.split("/"), path.split("/")
        return len(parts) == len(given) and all(part in {"{id}", one} for part, one in zip(parts, given, strict=True))

    fitting = [one for one in OPERATIONS.values() if one.verb == verb and fits(one.path)]
    return min(fitting, key=lambda one: one.path.count("{"), default=None)


@pytest.fixture(scope="module")
def sent(sandbox: Sandbox) -> set[tuple[str, str]]:
    """What one sync of all streams sends: verbs and paths, without the address of the API."""
    base, found = urlsplit(sandbox.url), set[tuple[str, str]]()
    send = HTTPAdapter.send

    def noting(self: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        url = urlsplit(request.url or "")
        assert isinstance(url.path, str)
        assert url.netloc == base.netloc
        found.add((request.method or "", url.path.removeprefix(f"{base.path}/")))
        return send(self, request, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", noting)
        run = sync(sandbox, *STREAMS, **EVERYTHING)
    assert run.error is None
    assert run.schemas.keys() == STREAMS.keys()
    return {one for one in found if not one[1].startswith("/_sandbox/exports/")}  # the store that an export lies in


def test_the_list_says_of_each_operation_what_becomes_of_it() -> None:
    assert len(OPERATIONS) == len(read_operations())
    for one in OPERATIONS.values():
        assert one.use in USES
        assert bool(one.streams) == (one.use in {"read", "covered"}), one
        assert {*one.streams} <= STREAMS.keys(), one
        assert bool(one.reason) == (one.use in {"covered", "credentials"}), one
        assert one.documented or one.use != "never", one


def test_every_read_is_sent_by_a_sync_of_all_streams_and_nothing_else_is(sent: set[tuple[str, str]]) -> None:
    """So no operation that writes is sent, and none that the list does not have."""
    operations = {operation_for(verb, path) for verb, path in sent}
    assert operations == {one for one in OPERATIONS.values() if one.use == "read"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_the_list_has_what_the_sandbox_serves(endpoint: Any) -> None:
    for verb in endpoint.verbs:
        assert OPERATIONS[verb, endpoint.path].use in {"read", "covered"}


@pytest.mark.parametrize(
    ("verb", "path", "found"),
    [
        ("GET", "contacts/1", "contacts/{id}"),
        ("POST", "contacts/search", "contacts/search"),
        ("PATCH", "contacts/1", "contacts/{id}"),
        ("GET", "conversations/export/1", "conversations/export/{id}"),
        ("POST", "emailer_campaigns/1/approve", "emailer_campaigns/{id}/approve"),
    ],
)
def test_a_request_is_told_from_others(verb: str, path: str, found: str) -> None:
    assert operation_for(verb, path) == OPERATIONS[verb, found]


def test_a_request_that_the_list_does_not_have_is_known_as_such() -> None:
    assert operation_for("DELETE", "contacts/1") is None
