"""What goes wrong is said in one line; the other streams go on; the exit code and the state are right."""

from __future__ import annotations

import copy
import dataclasses
import re
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from apollo_sandbox.app import ENDPOINTS
from tap_apollo.api import client
from tap_apollo.api.endpoint import Endpoint
from tap_apollo.api.errors import MAX_TRIES, ApolloError, CredentialsError, SettingsError, SyncError, decode
from tap_apollo.singer.conform import Conformed
from tap_apollo.streams import STREAMS
from tap_apollo.tap import TapApollo
from tests.singer import config_for, sync, sync_with

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A sandbox that the test may upset."""
    with Sandbox(Settings(contacts=250, seed=3)).serve() as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries wait as long as they say in production; here they only say it. What they would wait is kept."""
    kept: list[float] = []
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=kept.append))
    return kept


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


def test_a_wrong_key_is_one_error_and_one_request(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    run = sync_with({**config_for(own), "api_key": "wrong-key-of-mine"})
    assert isinstance(run.error, CredentialsError)
    assert "`api_key`" in run.error.message
    assert own.ledger.as_dict()["requests_total"] == 1
    assert "wrong-key-of-mine" not in caplog.text
    assert not run.records


def test_a_forbidden_stream_is_skipped_with_its_scope_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Sandbox(Settings(contacts=50, forbid=("tasks/search", "phone_calls/search"))).serve() as sandbox:
        run = sync(sandbox, "calls", "tasks", "users")
        assert run.error is None
        assert run.records.keys() == {"users"}
        said = warnings(caplog)
        assert len(said) == 2
        assert "Stream calls was skipped" in said[0]
        assert "master key" in said[0]
        assert "Stream tasks was skipped" in said[1]
        assert "api/v1/tasks/search" in said[1]

        strict = sync(sandbox, "tasks", "users", strict=True)
        assert isinstance(strict.error, SyncError)
        assert "tasks" in strict.error.message
        assert strict.records.keys() == {"users"}


class TestWhereAllIsRefused:
    SEARCHES = [{"name": "a", "filters": {"person_titles": ["e"]}}]

    @pytest.mark.parametrize(
        ("streams", "settings"),
        [
            ((), {}),
            (("tasks",), {}),
            (("tasks", "analytics_reports", "enrichment_results"), {}),  # which have nothing to ask
            (("people", "tasks"), {"people_searches": [*SEARCHES, {**SEARCHES[0], "name": "b"}]}),
            (("contact_sequence_statuses", "contact_details"), {}),
            (("organization_enrichment",), {"credit_streams": ["organization_enrichment"], "credit_budget": 5}),
        ],
    )
    def test_the_run_has_failed(
        self, own: Sandbox, streams: tuple[str, ...], settings: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add("status", status=403)
        run = sync(own, *streams, **settings)
        assert isinstance(run.error, SyncError)
        assert run.error.message.startswith(
            "Apollo refused everything that it was asked for: see the messages above on "
        )
        assert not run.records
        assert any("was skipped" in line for line in warnings(caplog))

    def test_also_where_only_the_list_of_whom_to_ask_about_can_be_read(self) -> None:
        with Sandbox(Settings(contacts=5, forbid=("contacts/show",))).serve() as sandbox:
            run = sync(sandbox, "contact_details")
        assert isinstance(run.error, SyncError)
        assert run.error.message.endswith("see the messages above on contact_details.")

    @pytest.mark.parametrize(
        ("streams", "settings"),
        [
            (("tasks", "users"), {}),
            (("tasks", "deal_details"), {}),  # of no deals
            (("tasks", "contacts"), {"limit": ("contacts/search=0/1/0",)}),  # a page of which is read
            (("tasks", "organization_enrichment"), {}),  # without a budget
        ],
    )
    def test_not_if_anything_was_read_or_a_limit_kept_it_from_being(
        self, streams: tuple[str, ...], settings: dict[str, Any]
    ) -> None:
        with Sandbox(Settings(contacts=150, deals=0, forbid=("tasks/search",), **settings)).serve() as sandbox:
            assert sync(sandbox, *streams, credit_streams=["organization_enrichment"], max_wait_seconds=9).error is None

    def test_nor_if_it_is_refused_half_way(self, own: Sandbox) -> None:
        own.faults.add("status", action="contacts/search", status=403, after=1)
        assert sync(own, "contacts", max_concurrent_requests=1).error is None


class TestAListThatIsNotThere:
    #: A stream of each way to read a list.
    STREAMS = ["lists", "tasks", "contacts", "accounts", "calls", "people", "user_profile"]

    @pytest.mark.matrix
    @pytest.mark.parametrize("stream", STREAMS)
    @pytest.mark.parametrize("answer", [{"status": 404}, {"status": 410}, {"status": 404, "body": "html"}], ids=str)
    def test_it_fails_in_one_line_and_is_read_when_it_is_back(
        self, own: Sandbox, stream: str, answer: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        endpoint = STREAMS[stream].endpoint
        settings: dict[str, Any] = {"people_searches": TestWhereAllIsRefused.SEARCHES}
        first = sync(own, stream, **settings)
        action = next(one.action for one in ENDPOINTS if one.path == endpoint.path and endpoint.method in one.verbs)
        own.faults.add("status", action=action, **answer)
        caplog.clear()
        run = sync(own, stream, "email_accounts", state=first.state, **settings)
        assert isinstance(run.error, SyncError)
        assert run.records.keys() == {"email_accounts"}
        reason = f"Apollo does not have {endpoint.path} ({answer['status']}): check `api_url`."
        assert warnings(caplog) == [f"Stream {stream} failed: {reason} What it wrote before is valid."]
        assert run.state["bookmarks"][stream] == first.state["bookmarks"][stream]
        own.faults.clear()
        assert sync(own, stream, state=run.state, **settings).error is None

    @pytest.mark.parametrize("stream", ["lists", "tasks"])
    def test_it_is_skipped_if_the_vendor_does_not_document_it(
        self, own: Sandbox, stream: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        endpoint = dataclasses.replace(STREAMS[stream].endpoint, documented=False)
        monkeypatch.setattr(STREAMS[stream], "endpoint", endpoint)
        own.faults.add("status", action={"lists": "labels/index", "tasks": "tasks/search"}[stream], status=404)
        run = sync(own, stream, "users")
        assert run.error is None
        assert run.records.keys() == {"users"}
        reason = f"Apollo does not have {endpoint.path} (404), which it does not document: check `api_url`."
        assert warnings(caplog) == [f"Stream {stream} was skipped: {reason} Or deselect the stream."]
        assert isinstance(sync(own, stream, "users", strict=True).error, SyncError)
        assert isinstance(sync(own, stream).error, SyncError)


def test_an_incremental_stream_forbidden_half_way_keeps_its_bookmark(own: Sandbox) -> None:
    first = sync(own, "contacts")
    bookmark = first.state["bookmarks"]["contacts"]["replication_key_value"]
    for contact in first.ids("contacts")[100:]:
        own.world.touch_contact(contact)
    own.faults.add("status", action="contacts/search", status=403, after=1)
    second = sync(own, "contacts", "users", state=first.state)
    assert second.records["users"]
    assert 0 < len(second.records["contacts"]) <= 100
    assert second.state["bookmarks"]["contacts"]["replication_key_value"] == bookmark
    own.faults.clear()
    third = sync(own, "contacts", state=second.state)
    latest = {record["id"]: record for run in (second, third) for record in run.records["contacts"]}
    assert latest.keys() >= {*first.ids("contacts")[100:]}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503, "body": "html"},
        {"kind": "reset"},
        {"kind": "cut_body"},
        {"kind": "html"},
    ],
)
def test_a_passing_fault_is_retried(
    own: Sandbox,
    fault: dict[str, Any],
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    own.faults.add(action="contacts/search", times=2, **fault)
    run = sync(own, "contacts")
    assert run.error is None
    assert len(run.records["contacts"]) == 250
    assert len([line for line in warnings(caplog) if "trying again" in line]) == 2
    assert [int(wait) for wait in waits] in ([1, 2], [1, 3], [2, 2], [2, 3])  # up to a second of jitter


def test_a_lasting_fault_fails_its_stream_and_the_run_but_not_the_others(
    own: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own.faults.add("status", action="contacts/search", status=500, after=1)
    run = sync(own, "contacts", "users", max_concurrent_requests=1)
    assert isinstance(run.error, SyncError)
    assert "contacts" in run.error.message
    assert len(run.records["contacts"]) == 100
    assert run.records["users"]
    assert own.ledger.as_dict()["requests"]["contacts/search"] == 1 + MAX_TRIES
    assert "replication_key_value" not in run.state["bookmarks"]["contacts"]
    failures = [line for line in warnings(caplog) if line.startswith("Stream contacts failed")]
    assert len(failures) == 1
    assert "server error (500)" in failures[0]


@pytest.mark.parametrize("status", [408, 425])
def test_a_request_that_is_refused_for_now_is_sent_again(own: Sandbox, status: int) -> None:
    own.faults.add("status", action="users/search", status=status, times=2)
    run = sync(own, "users")
    assert run.error is None
    assert run.records["users"]
    assert own.ledger.as_dict()["statuses"][f"{status}"] == 2


def test_an_unreachable_apollo_ends_the_run_at_once(caplog: pytest.LogCaptureFixture) -> None:
    run = sync_with({"api_key": "k", "api_url": "http://127.0.0.1:9/api/v1"})
    assert run.error is not None
    assert "http://127.0.0.1:9/api/v1" in run.error.message
    assert "`api_url`" in run.error.message
    assert len([line for line in warnings(caplog) if "trying again" in line]) == MAX_TRIES - 1


@pytest.mark.parametrize("stream", ["outreach_emails", "contacts"])
def test_no_query_reaches_the_log_when_connections_break(stream: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="tap-apollo")
    config = {"api_key": "k", "api_url": "http://127.0.0.1:9/api/v1", "start_date": "2026-01-01"}
    sync_with(config, [stream])
    assert not re.search(r"date_range\w*(=|\[|%5B)|url:|Giving up|_request\(", "\n".join(_of_the_tap(caplog)))


def _of_the_tap(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith(("tap-apollo", "backoff"))]


def test_a_slow_stream_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox(Settings(contacts=50, fault=("kind=slow,seconds=3,action=accounts/search",))).serve() as sandbox:
        run = sync(sandbox, "accounts", "users", request_timeout=1)
    assert isinstance(run.error, SyncError)
    assert run.records["users"]
    assert any("`request_timeout`" in line for line in warnings(caplog))


@pytest.mark.parametrize("strict", [False, True])
def test_a_window_closed_for_longer_than_the_run_may_wait_ends_the_stream_cleanly(
    caplog: pytest.LogCaptureFixture,
    strict: bool,  # noqa: FBT001
) -> None:
    with Sandbox(Settings(contacts=350, limit=("contacts/search=200/2/0",))).serve() as limited:
        run = sync(limited, "contacts", "users", max_wait_seconds=30, strict=strict)
        assert limited.ledger.rate_limited_total == 0
        arrived, state = {*run.ids("contacts")}, run.state
        for _ in range(3):
            limited.reset()
            again = sync(limited, "contacts", state=state, max_wait_seconds=30)
            arrived, state = arrived | {*again.ids("contacts")}, again.state
        assert arrived == {*limited.world.contacts.ids}
    assert (run.error is not None) == strict
    assert run.records["users"]
    assert len(run.records["contacts"]) == 200
    assert any("contacts/search is used up for another" in line for line in warnings(caplog))


def test_oauth_reads_with_a_token_and_names_oauth_scopes(caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox(Settings(contacts=50, forbid=("tasks/search",))).serve() as sandbox:
        token = sandbox.settings.access_token
        config = {"api_url": sandbox.url, "access_token": token}
        run = sync_with(config, ["tasks", "users"])
        wrong = sync_with({**config, "access_token": "wrong"}, ["users"])
    assert run.records.keys() == {"users"}
    assert any("missing scope is tasks_list" in line for line in warnings(caplog))
    assert token not in caplog.text
    assert isinstance(wrong.error, CredentialsError)
    assert "`access_token`" in wrong.error.message


class TestCustomFieldDefinitions:
    def test_forbidden_they_leave_custom_fields_null_and_say_so(self, caplog: pytest.LogCaptureFixture) -> None:
        with Sandbox(Settings(contacts=150, forbid=("typed_custom_fields/index",))).serve() as sandbox:
            run = sync(sandbox, "contacts", strict=True)
        assert run.error is None
        assert len({*run.ids("contacts")}) == 150
        assert not any(record.get("custom_fields") for record in run.records["contacts"])
        assert any("`custom_fields` is null" in line for line in warnings(caplog))

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ({"kind": "status", "status": 404}, "Apollo"),
            ({"kind": "status", "status": 410}, "Apollo"),
            ({"kind": "status", "status": 422}, "Apollo refuses the request to typed_custom_fields (422"),
            ({"kind": "status", "status": 500}, "cannot be read: server error (500)"),
            ({"kind": "html"}, "the reply is not JSON"),
            ({"kind": "reset"}, "the connection broke"),
        ],
        ids=str,
    )
    def test_failing_they_leave_custom_fields_null_and_say_why(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture, fault: dict[str, Any], reason: str
    ) -> None:
        own.faults.add(action="typed_custom_fields/index", **fault)
        run = sync(own, "contacts", strict=True)
        assert run.error is None
        assert {*own.world.contacts.ids} == {*run.ids("contacts")}
        assert any(record["typed_custom_fields"] for record in run.records["contacts"])
        assert not any(record.get("custom_fields") for record in run.records["contacts"])
        (line,) = [line for line in warnings(caplog) if "`custom_fields` is null" in line]
        assert reason in line
        assert line.endswith("Run again, or set `custom_fields` to raw to do without.")
        assert not any("contacts/search" in line for line in warnings(caplog))


def test_a_failure_on_the_last_page_does_not_move_the_bookmark_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk is at its end when the last page comes, but the page is not written yet."""

    def fail(*_: object) -> None:
        raise ApolloError("a record cannot be written")

    with Sandbox(Settings(contacts=60)).serve() as sandbox:
        with monkeypatch.context() as patch:
            patch.setattr(Conformed, "__call__", fail)
            run = sync(sandbox, "contacts")
        assert isinstance(run.error, SyncError)
        assert "replication_key_value" not in run.state["bookmarks"]["contacts"]
        assert {*sync(sandbox, "contacts", state=run.state).ids("contacts")} == {*sandbox.world.contacts.ids}


ODD: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    [None],
    {"a": 1},
    "9999-12-31T23:59:59.000-08:00",
    float("inf"),
    [[[]]],
    True,
]


@pytest.mark.matrix
@pytest.mark.parametrize("stream", ["contacts", "deals", "tasks", "lists", "custom_fields", "api_usage_stats", "users"])
@pytest.mark.parametrize("seed", range(12))
def test_however_odd_a_reply_the_other_streams_go_on(
    own: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    stream: str,
    seed: int,
) -> None:
    random = Random(seed)
    path = {"lists": "labels", "deals": "opportunities", "api_usage_stats": "usage_stats"}.get(stream, stream)

    def odd(response: Any) -> Any:
        reply = copy.deepcopy(decode(response))
        if path not in response.url:
            return reply
        node: Any = reply
        for _ in range(random.randrange(4)):
            items = node.values() if isinstance(node, dict) else node
            inner = [item for item in items if item and isinstance(item, (dict, list))]
            if not inner:
                break
            node = random.choice(inner)
        if isinstance(node, dict) and node:
            node[random.choice(sorted(node))] = random.choice(ODD)
        elif isinstance(node, list) and node:
            node[random.randrange(len(node))] = random.choice(ODD)
        return reply

    monkeypatch.setattr(client, "decode", odd)
    run = sync(own, stream, "email_accounts")
    assert run.records["email_accounts"]
    assert run.error is None or isinstance(run.error, SyncError)


def test_a_redirect_is_not_followed(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    own.faults.add("redirect", action="users/search")
    run = sync(own, "users")
    assert isinstance(run.error, SyncError)
    assert any("`api_url`" in line for line in warnings(caplog))


def test_a_list_past_the_display_limit_is_read_as_far_as_it_goes_and_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Endpoint, "display_limit", 200)
    with Sandbox(Settings(contacts=50, tasks=250, display_limit=200)).serve() as sandbox:
        run = sync(sandbox, "tasks")
        assert len(run.records["tasks"]) == 200
        assert run.error is None
        said = "tasks is incomplete: 50 of 250 records were not read, as Apollo shows 200 of one list."
        assert any(said in line for line in warnings(caplog))
        assert isinstance(sync(sandbox, "tasks", strict=True).error, SyncError)


def test_a_page_limit_that_ends_a_list_is_said(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    said = "contacts stopped at a limit: `max_pages.contacts` is 1. Left for the next run: the rest of the list."
    state = sync(own, "contacts", max_pages={"contacts": 1}).state
    assert warnings(caplog) == [said]
    caplog.clear()
    sync(own, "contacts", state=state, max_pages={"contacts": 100})
    assert not warnings(caplog)


def test_a_page_limit_of_people_is_said_if_it_is_the_streams(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    searches = [{"name": "a", "filters": {"person_titles": ["e"]}, "max_pages": 1}]
    sync(own, "people", people_searches=searches)
    assert not warnings(caplog)
    sync(own, "people", people_searches=searches, max_pages={"people": 1})
    said = "people stopped at a limit: `max_pages.people` is 1. The next run reads the same pages."
    assert warnings(caplog) == [said]


def test_searches_that_a_page_limit_leaves_out_are_said_once(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    names = [{"name": name, "filters": {"person_titles": ["e"]}, "max_pages": 1} for name in "abc"]
    whole = [{"name": "whole", "filters": {"q_keywords": "no such words"}}, *names]
    sync(own, "people", people_searches=whole, max_pages={"people": 1})
    said = "people stopped at a limit: `max_pages.people` is 1. The next run reads the same pages."
    assert warnings(caplog) == [said]


def test_a_stream_that_never_began_is_not_summed_up(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    own.faults.add("status", status=422, action="tasks/search", times=1)
    sync(own, "tasks", "users")
    assert [line for line in warnings(caplog) if line.startswith("Stream tasks failed")]
    assert not any(line.startswith("tasks: ") for line in caplog.messages)
    assert any(line.startswith("users: ") for line in caplog.messages)


def test_a_fault_that_may_pass_is_to_be_tried_again_and_another_is_not(
    own: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    own.faults.add("status", status=503, action="tasks/search")
    own.faults.add("status", status=422, action="users/search")
    sync(own, "tasks", "users")
    (passes,) = [line for line in warnings(caplog) if line.startswith("Stream tasks failed")]
    (stays,) = [line for line in warnings(caplog) if line.startswith("Stream users failed")]
    assert passes.endswith("What it wrote before is valid; run again.")
    assert stays.endswith("What it wrote before is valid.")


@pytest.mark.parametrize("expression", ["float(email)", "sha256(email)", "emial"])
@pytest.mark.parametrize("selected", ["all", "some"])
def test_an_expression_that_fails_is_one_line_without_the_record(
    own: Sandbox, expression: str, selected: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = TapApollo(config=config_for(own)).catalog_dict
    for entry in next(one for one in catalog["streams"] if one["stream"] == "contacts")["metadata"]:
        entry["metadata"]["selected"] = selected == "all" or "title" not in entry["breadcrumb"]
    run = sync(own, "contacts", stream_maps={"contacts": {"email": expression}}, catalog=catalog)
    assert isinstance(run.error, SettingsError)
    assert run.error.message.startswith("Setting `stream_maps`: an expression for contacts fails on a record (")
    assert "@" not in f"{run.error.message}{caplog.text}{capsys.readouterr().err}"


def test_a_plan_does_not_wait_for_a_window_of_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with Sandbox(Settings(contacts=250, limit=("contacts/search=0/1/0",))).serve() as sandbox:
        sync(sandbox, "contacts", max_pages={"contacts": 1}, custom_fields="raw")
        streams = {one.stream: one for one in TapApollo(config=config_for(sandbox)).plan().streams}
    problem = "the rate limit of contacts/search is used up for another "
    assert streams["contacts"].problem.startswith(problem)
    assert "max_wait" not in streams["contacts"].problem
    assert streams["accounts"].estimate
