"""Every shape of error reply becomes the right error, in one line that quotes no body."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tap_apollo.errors import (
    CredentialsError,
    ForbiddenError,
    RequestError,
    TransientError,
    decode,
    raise_for_reply,
)

PRIVATE = "walt@example.test"


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
        (reply(403, {"error": PRIVATE, "error_code": "API_INACCESSIBLE"}), ForbiddenError, "ask for it"),
        (reply(422, {"error": PRIVATE, "error_code": "API_INACCESSIBLE"}), ForbiddenError, "ask for it"),
        (reply(403, {"error": "Access denied."}), ForbiddenError, "ask for it"),
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
        raise_for_reply(response, "tasks/search", "ask for it", credential)
    assert PRIVATE not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_good_reply_is_decoded_once() -> None:
    response = reply(200, {"contacts": []})
    raise_for_reply(response, "contacts/search", "", "api_key")
    assert decode(response) is decode(response)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("", None), ("soon", None)])
def test_the_wait_that_apollo_names(header: str, seconds: int | None) -> None:
    assert TransientError("", reply(429, "", **{"retry-after": header})).retry_after == seconds
    assert TransientError("").retry_after is None
