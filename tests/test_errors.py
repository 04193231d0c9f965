"""Every shape of error reply becomes the right error, in one line that quotes no body."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3

from tap_apollo.api.endpoint import GET, POST
from tap_apollo.api.errors import (
    ApolloError,
    CredentialsError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    OutOfCreditsError,
    RedirectError,
    RequestError,
    TransientError,
    decode,
    never_arrived,
    never_connected,
    raise_for_reply,
    refused_for,
)
from tap_apollo.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_apollo.api.endpoint import Endpoint

PRIVATE = "walt@example.test"
TASKS = POST("tasks/search")
PERSON = GET("people/{id}")


def reply(status: int, body: Any, content_type: str = "application/json", **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update({"content-type": content_type, **headers})
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return response


@pytest.mark.parametrize(
    ("response", "error", "text"),
    [
        (reply(401, f"Invalid key {PRIVATE}", "text/plain"), CredentialsError, "`api_key`"),
        (reply(401, {"error_code": "INVALID_ACCESS_TOKEN"}), CredentialsError, "`access_token`"),
        (reply(403, {"error": PRIVATE, "error_code": "API_INACCESSIBLE"}), ForbiddenError, "api/v1/tasks/search"),
        (reply(422, {"error": PRIVATE, "error_code": "API_INACCESSIBLE"}), ForbiddenError, "api/v1/tasks/search"),
        (reply(403, {"error": "Access denied."}), ForbiddenError, "api/v1/tasks/search"),
        (reply(403, {"message": "This endpoint is only available on paid plans."}), ForbiddenError, "plan"),
        (reply(403, f"<html>{PRIVATE}", "text/html"), TransientError, "proxy"),
        (reply(429, {"message": PRIVATE}, **{"retry-after": "7"}), TransientError, "429"),
        (reply(500, f"<html>{PRIVATE}", "text/html"), TransientError, "500"),
        (reply(503, {"error": PRIVATE}), TransientError, "503"),
        (reply(200, f"<html>{PRIVATE}", "text/html"), TransientError, "not JSON"),
        (reply(200, '{"contacts": [{"email": "wa'), TransientError, "not JSON"),
        (reply(302, ""), RequestError, "`api_url`"),
        (reply(404, {"status": 404, "error": PRIVATE}), RequestError, "404"),
        (reply(422, {"error": PRIVATE}), RequestError, "422"),
        (reply(422, {"error": PRIVATE, "error_details": {"code": "X.Y"}}), RequestError, "X.Y"),
        (reply(400, [PRIVATE]), RequestError, "400"),
    ],
)
def test_each_reply_is_its_error(response: requests.Response, error: type[Exception], text: str) -> None:
    credential = "access_token" if "INVALID_ACCESS_TOKEN" in response.text else "api_key"
    with pytest.raises(error, match=text) as raised:
        raise_for_reply(response, TASKS, credential)
    assert PRIVATE not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_good_reply_is_decoded_once() -> None:
    response = reply(200, {"contacts": []})
    raise_for_reply(response, TASKS, "api_key")
    assert decode(response) is decode(response)


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("7", {}, 7),
        ("", {"message": "The maximum number of api calls allowed is 400 times per hour."}, 3600),
        ("soon", {"message": "... 2000 times per day ..."}, 86_400),
        ("", "too many", 60),
    ],
)
def test_the_wait_that_apollo_names(header: str, body: Any, seconds: int) -> None:
    assert refused_for(reply(429, body, **{"retry-after": header})) == seconds


def test_what_is_no_rate_limit_names_no_wait() -> None:
    assert refused_for(reply(503, "", **{"retry-after": "7"})) is None
    assert refused_for(reply(429, {"message": "This endpoint is only available to paying teams"})) is None


def refusal(status: int, code: str, text: str = PRIVATE, **more: Any) -> requests.Response:
    """A reply as Apollo gives it since September 2026."""
    details = {"code": code, "message": text, "suggestions": [PRIVATE], "context": {"email": PRIVATE}}
    return reply(status, {"error": text, "error_details": details, **more})


def raised_by(response: requests.Response, endpoint: Endpoint = TASKS, credential: str = "api_key") -> Exception:
    with pytest.raises((ApolloError, TransientError)) as raised:
        raise_for_reply(response, endpoint, credential)
    assert PRIVATE not in str(raised.value)
    return raised.value


SCOPE = "the missing scope is api/v1/tasks/search"


@pytest.mark.parametrize(
    ("response", "error", "text"),
    [
        (
            refusal(401, "AUTH.AUTHENTICATION.API_KEY_INVALID"),
            CredentialsError,
            "Apollo does not accept the credentials (401, AUTH.AUTHENTICATION.API_KEY_INVALID): check `api_key`.",
        ),
        (
            refusal(401, "AUTH.NETWORK.IP_NOT_ALLOWED"),
            CredentialsError,
            "Apollo does not accept the credentials (401, AUTH.NETWORK.IP_NOT_ALLOWED): requests from this",
        ),
        (
            refusal(403, "AUTH.AUTHORIZATION.SCOPE_MISSING"),
            ForbiddenError,
            f"the credentials may not read tasks/search (403, AUTH.AUTHORIZATION.SCOPE_MISSING): {SCOPE}; give",
        ),
        (
            refusal(403, "AUTH.X", "... that includes this endpoint in its configured scope."),
            ForbiddenError,
            f"the credentials may not read tasks/search (403, AUTH.X): {SCOPE}; give",
        ),
        (
            reply(403, {"error": "not accessible with this access token", "error_code": "API_INACCESSIBLE"}),
            ForbiddenError,
            f"the credentials may not read tasks/search (403, API_INACCESSIBLE): {SCOPE}; give",
        ),
        (
            refusal(403, "AUTH.NETWORK.IP_RESTRICTED", error_code="API_INACCESSIBLE"),
            ForbiddenError,
            "Apollo refuses tasks/search (403, AUTH.NETWORK.IP_RESTRICTED): requests from this machine's IP",
        ),
        (
            reply(403, {"error": "Your IP (203.0.113.7) is not on the list."}),
            ForbiddenError,
            "Apollo refuses tasks/search (403): requests from this machine's IP address are not allowed;",
        ),
        (
            refusal(422, "AUTH.ACCOUNT.INACTIVE"),
            ForbiddenError,
            "Apollo refuses tasks/search (422, AUTH.ACCOUNT.INACTIVE): the account is not active;",
        ),
        (
            refusal(403, "AUTH.API_ACCESS.UNAVAILABLE"),
            ForbiddenError,
            "Apollo refuses tasks/search (403, AUTH.API_ACCESS.UNAVAILABLE): the team has no access to the API;",
        ),
        (
            refusal(403, "AUTH.SOMETHING.NEW"),
            ForbiddenError,
            "Apollo refuses tasks/search (403, AUTH.SOMETHING.NEW), and not for want of a scope: ask Apollo what that",
        ),
        (
            reply(403, {"error": "Access denied."}),
            ForbiddenError,
            f"the credentials may not read tasks/search (403), and Apollo does not say why: perhaps {SCOPE}; give",
        ),
        (
            refusal(403, "BILLING.PLAN.NOT_INCLUDED"),
            ForbiddenError,
            "the team's Apollo plan does not include tasks/search (403, BILLING.PLAN.NOT_INCLUDED): upgrade it.",
        ),
        (
            refusal(422, "SEARCH_VALIDATION_SEARCH_PARAMS_INVALID"),
            RequestError,
            "Apollo refuses the request to tasks/search (422, SEARCH_VALIDATION_SEARCH_PARAMS_INVALID).",
        ),
    ],
)
def test_a_refusal_names_apollos_code_and_blames_a_scope_only_for_what_a_scope_would_change(
    response: requests.Response, error: type[ApolloError], text: str
) -> None:
    raised = raised_by(response)
    assert type(raised) is error
    assert str(raised).startswith(text)
    assert "scope is" in str(raised) or SCOPE not in text


@pytest.mark.parametrize(
    "code", [PRIVATE, "aB3dE5fG7hJ9kL1mN3pQ5r", "A" * 81, "Walt Whitman", "A\nB", 7, ["A"], {"A": 1}]
)
@pytest.mark.parametrize("status", [401, 403, 422])
def test_what_is_no_code_is_not_shown(code: Any, status: int) -> None:
    shown = str(raised_by(reply(status, {"error": "no", "error_details": {"code": code}})))
    assert f"({status})" in shown
    assert f"{code}" not in shown.replace(f"({status})", "")


UPGRADE = "<a href='https://app.apollo.io/#/settings/plans/upgrade'>Upgrade your plan</a>"


@pytest.mark.parametrize(
    "body",
    [
        {"error": f"You have insufficient credits! {UPGRADE} to increase your number of lead credits."},
        {"error": "You have insufficient credits!", "error_details": {"code": "BILLING.LIMIT.CREDITS_EXHAUSTED"}},
        {"error": "Insufficient credits. Please upgrade your plan."},
        {"error": PRIVATE, "error_details": {"code": "BILLING.LIMIT.CREDITS_EXHAUSTED"}},
        {"error": PRIVATE, "error_code": "CREDITS_EXHAUSTED"},
        {"message": "Your team has used all of its credits."},
        {"status": "failed", "error_code": "UNKNOWN_ERROR", "error_message": "INSUFFICIENT CREDITS"},
    ],
)
def test_a_want_of_credits_is_known_in_every_shape(body: Any) -> None:
    with pytest.raises(OutOfCreditsError, match=r"not have enough credits for people/\{id\} \(422") as raised:
        raise_for_reply(reply(422, body), PERSON, "api_key")
    assert PRIVATE not in str(raised.value)
    assert never_arrived(raised.value)


@pytest.mark.parametrize("code", ["BILLING.LIMIT.CREDITS_EXHAUSTED", "BILLING.LIMIT.REACHED", "LEAD_CREDITS.USED_UP"])
@pytest.mark.parametrize("status", [200, 401, 402, 403, 404, 422, 429, 500])
def test_a_want_of_credits_is_told_by_the_code_at_any_status(status: int, code: str) -> None:
    response = refusal(status, code)
    assert refused_for(response) is None
    raised = raised_by(response, PERSON)
    assert isinstance(raised, OutOfCreditsError)
    assert f"({status}, {code})" in raised.message


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refusal(422, "SEARCH_VALIDATION.FAILED", "The filter credits is not known."), RequestError),
        (reply(422, {"error": "credits", "error_code": "invalid_filter"}), RequestError),
        (reply(403, {"error": "credits", "error_code": "API_INACCESSIBLE"}), ForbiddenError),
        (reply(500, {"error": "credits"}), TransientError),
        (reply(401, {"error": "credits"}), CredentialsError),
    ],
)
def test_the_word_alone_is_no_want_of_credits_where_a_code_or_the_status_says_otherwise(
    response: requests.Response, error: type[Exception]
) -> None:
    assert type(raised_by(response)) is error


NOWHERE = {"status": 404, "error": "Not Found"}

#: What the vendor documents of records that are not there, per endpoint.
GONE: list[tuple[str, requests.Response, str | None]] = [
    ("contact_details", reply(422, {"error": "Oops! This contact does not exist in Apollo."}), None),
    ("contact_details", reply(422, {"error": "This contact has been deleted."}), None),
    ("account_details", reply(422, {"error": "Parameters misconfigured. id is not a valid ID"}), None),
    ("account_details", reply(422, {"error": "This account has been deleted!"}), None),
    ("deal_details", reply(404, NOWHERE), None),
    ("deal_details", refusal(404, "RESOURCE.MISSING", "Not found: Walt's deal."), "RESOURCE.MISSING"),
    ("deal_details", reply(422, {"error": "Parameters misconfigured. opportunity_id is not a valid ID"}), None),
    ("task_details", reply(422, {"error": "This task or emailer message has been deleted. Please refresh."}), None),
    ("outreach_email_activities", reply(422, {"error": "Could not find message."}), None),
    ("contact_sequence_activity", reply(404, {"error": "Contact not found"}), None),
    ("person_details", reply(422, {"error": "Person does not exist."}), None),
    ("person_details", reply(422, {"message": "This is obsolete data."}), None),
    ("organization_details", reply(422, {"error": "Organization does not exist."}), None),
    ("organization_job_postings", reply(422, {"error": "... organization_id is not a valid ID"}), None),
    ("conversation_details", reply(404, {"error": "Conversation not found or access denied."}), None),
    ("enrichment_results", reply(404, {"error_code": "result_pending"}), "result_pending"),
    ("enrichment_results", reply(404, {"error_code": "request_id_unknown"}), "request_id_unknown"),
    ("enrichment_results", reply(410, {"error_code": "request_id_expired"}), "request_id_expired"),
    ("enrichment_results", reply(400, {"error_code": "invalid_request_id"}), "invalid_request_id"),
]


@pytest.mark.parametrize(("stream", "response", "code"), GONE)
def test_what_is_gone_is_no_other_refusal(stream: str, response: requests.Response, code: str | None) -> None:
    raised = raised_by(response, STREAMS[stream].endpoint)
    assert isinstance(raised, GoneError)
    assert raised.code == code
    assert raised.doubtful is (stream == "deal_details" and response.status_code == 404)
    assert never_arrived(raised)


@pytest.mark.parametrize("stream", sorted({stream for stream, *_ in GONE}))
@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("body", [{"error": "No route"}, "<html>", "", []], ids=str)
def test_no_other_404_says_that_a_record_is_gone(stream: str, status: int, body: Any) -> None:
    raised = raised_by(reply(status, body), STREAMS[stream].endpoint)
    assert type(raised) is NotFoundError
    assert raised.doubtful
    assert never_arrived(raised)


@pytest.mark.parametrize(
    ("endpoint", "response"),
    [
        (GET("people/{id}"), reply(404, NOWHERE)),
        (GET("people/{id}"), reply(422, {"error": "This record has been deleted."})),
        (POST("contacts/search"), reply(422, {"error": "A contact does not exist."})),
        (STREAMS["contact_details"].endpoint, reply(404, {"error": "This contact has been deleted."})),
        (STREAMS["contact_details"].endpoint, reply(422, {"error": "You are not authorized to view this page."})),
        (STREAMS["task_details"].endpoint, reply(422, {"error": "Could not find message."})),
    ],
)
def test_the_words_of_one_endpoint_say_nothing_of_another(endpoint: Endpoint, response: requests.Response) -> None:
    raised = raised_by(response, endpoint)
    assert isinstance(raised, RequestError)
    assert not isinstance(raised, GoneError)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("body", [NOWHERE, "<html>"], ids=str)
def test_an_endpoint_that_is_not_there_is_named(status: int, body: Any) -> None:
    raised = raised_by(reply(status, body))
    assert type(raised) is NotFoundError
    assert str(raised) == f"Apollo does not have tasks/search ({status}): check `api_url`."
    undocumented = raised_by(reply(status, body), GET("opportunity_pipelines", documented=False))
    assert isinstance(undocumented, ForbiddenError)
    assert str(undocumented).startswith(
        f"Apollo does not have opportunity_pipelines ({status}), which it does not document"
    )


@pytest.mark.parametrize("body", [{"error": "Per page not supported"}, {"error": "Invalid sort criteria"}, ["credits"]])
def test_another_refusal_is_neither(body: Any) -> None:
    with pytest.raises(RequestError) as raised:
        raise_for_reply(reply(422, body), PERSON, "api_key")
    assert type(raised.value) is RequestError


@pytest.mark.parametrize(
    ("response", "arrived"),
    [
        (reply(400, {"error": "Bad Request"}), False),
        (reply(401, "Invalid key", "text/plain"), False),
        (reply(403, {"error": "Access denied."}), False),
        (reply(403, "<html>", "text/html"), False),
        (reply(422, {"error": "Invalid sort criteria"}), False),
        (reply(429, {"message": "slower"}, **{"retry-after": "7"}), False),
        (reply(200, "<html>", "text/html"), True),
        (reply(200, '{"person": {"name": "Wa'), True),
        (reply(302, ""), True),
        (reply(500, {"error": "oops"}), True),
        (reply(502, "<html>", "text/html"), True),
        (reply(503, {"error": "oops"}), True),
        (reply(504, ""), True),
    ],
)
def test_only_a_reply_that_refuses_tells_that_nothing_was_charged(
    response: requests.Response,
    *,
    arrived: bool,
) -> None:
    with pytest.raises((RequestError, CredentialsError, ForbiddenError, TransientError)) as raised:
        raise_for_reply(response, PERSON, "api_key")
    assert never_arrived(raised.value) is not arrived


@pytest.mark.parametrize(
    ("error", "nothing"),
    [
        (requests.ConnectTimeout(), True),
        (requests.ReadTimeout(), False),
        (requests.Timeout(), False),
        (requests.ConnectionError(), False),
        (requests.ConnectionError("reset"), False),
        (requests.exceptions.ChunkedEncodingError(), False),
        (requests.exceptions.SSLError(), False),
        (ConnectionResetError(), False),
        (RedirectError("elsewhere"), False),
        (TransientError("no response at hand"), False),
        (KeyboardInterrupt(), False),
        (ValueError(), False),
    ],
)
def test_in_doubt_a_request_has_arrived(error: BaseException, *, nothing: bool) -> None:
    assert never_arrived(error) is nothing


class TestOverTheWire:
    @contextlib.contextmanager
    def _server(self, answer: bytes | None, *, reset: bool = False) -> Iterator[str]:
        """A server that reads a request and then says something, nothing, or hangs up."""
        listening = socket.create_server(("127.0.0.1", 0))
        done = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif answer is None:
                    done.wait(30)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            done.set()
            thread.join()
            listening.close()

    def _error(self, url: str) -> requests.RequestException:
        with pytest.raises(requests.RequestException) as raised:
            requests.post(url, json={}, timeout=(5, 0.2))
        return raised.value

    def test_a_closed_port_was_never_reached(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        assert never_arrived(self._error(f"http://127.0.0.1:{port}/"))

    def test_a_host_without_an_address_was_never_reached(self) -> None:
        assert never_arrived(self._error("http://apollo.invalid/"))

    def test_silence_may_follow_a_charge(self) -> None:
        with self._server(None) as url:
            assert not never_arrived(self._error(url))

    def test_so_may_a_reset(self) -> None:
        with self._server(None, reset=True) as url:
            assert not never_arrived(self._error(url))

    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"])
    def test_so_may_an_answer_that_breaks_off(self, answer: bytes) -> None:
        with self._server(answer) as url:
            assert not never_arrived(self._error(url))


def test_a_connection_that_breaks_in_its_encryption_may_have_carried_the_request() -> None:
    """A charged request that ends so is booked at its worst; whether Apollo can be reached is another question."""
    reason = urllib3.exceptions.SSLError("bad record mac")
    wrapped = urllib3.exceptions.MaxRetryError(None, "/", reason)  # type: ignore[arg-type]
    error = requests.exceptions.SSLError(wrapped)
    assert never_connected(error)
    assert not never_arrived(error)
    assert not never_arrived(requests.exceptions.ProxyError(wrapped))
