"""The ways in which Apollo says no, each with the body it really sends."""

from __future__ import annotations

from typing import Any

_UPGRADE = "https://app.apollo.io/#/settings/plans/upgrade"


class ApiError(Exception):
    """An answer other than 200; a body that is a string goes out as plain text."""

    def __init__(self, status: int, body: Any) -> None:
        """Hold the status and the body."""
        super().__init__(status, body)
        self.status = status
        self.body = body


def bad_key() -> ApiError:
    """Refuse an API key, or its absence."""
    return ApiError(
        401,
        "Invalid API key. See https://docs.apollo.io/reference/authentication for how to authenticate.",
    )


def bad_token() -> ApiError:
    """Refuse an OAuth token that expired, was revoked or never existed."""
    return ApiError(
        401,
        {"error": "Invalid access token.", "error_code": "INVALID_ACCESS_TOKEN"},
    )


_SCOPE_PREFIX = {"opportunities": "deals/", "opportunity_stages": "deals/", "notes": "meetings/"}


def out_of_scope(action: str, *, token: bool) -> ApiError:
    """Refuse an action the credential has no scope for."""
    if token:
        text = f"api/v1/{action} is not accessible with this access token"
        return ApiError(403, {"error": text, "error_code": "API_INACCESSIBLE"})
    if action == "conversations/search":
        return ApiError(403, {"error": "Access denied."})
    scope = f"{_SCOPE_PREFIX.get(action.split('/', maxsplit=1)[0], '')}api/v1/{action}"
    body = {
        "error": f"This API key is not authorized to access {scope}. Request an API key from your "
        "administrator that includes this endpoint in its configured scope.",
        "error_code": "API_INACCESSIBLE",
    }
    return ApiError(422 if action == "reports/sync_report" else 403, body)


def paid_plans_only() -> ApiError:
    """Refuse an action the team's plan does not include; the body has no `error`."""
    return ApiError(403, {"message": "This endpoint is only available to Apollo users on paid plans."})


def too_many_calls(action: str, limit: int, window: str) -> ApiError:
    """Refuse a request over the rate limit."""
    text = (
        f"The maximum number of api calls allowed for api/v1/{action.removesuffix('/index')} is "
        f"{limit} times per {window}. Please upgrade your plan from {_UPGRADE}"
        "?source=api_rate_limit."
    )
    return ApiError(
        429,
        {
            "message": text,
            "error_details": {"code": "USAGE.RATE_LIMIT.API_RATE_LIMIT_EXCEEDED"},
        },
    )


def no_credits(style: str, kind: str, left: int) -> ApiError:
    """Refuse a purchase: 422, and in the old style only the wording tells that it is about credits."""
    body: dict[str, Any] = {
        "error": f"You have insufficient credits! <a href='{_UPGRADE}' "
        "aria-onclick='close_alert'>Upgrade your plan</a> to increase your number of lead credits."
    }
    if style == "new":
        context = {"credit_type": kind, "credit_balance": left}
        body["error_details"] = {"code": "BILLING.LIMIT.CREDITS_EXHAUSTED", "context": context}
    return ApiError(422, body)


def no_credits_for_conversations() -> ApiError:
    """Refuse a conversation for want of credits, in words of its own."""
    return ApiError(422, {"error": "Insufficient credits. Please upgrade your plan."})


def unprocessable(text: str) -> ApiError:
    """Refuse a request as wrong in itself."""
    return ApiError(422, {"error": text})


def bulk_failed(status: int, code: str, text: str) -> ApiError:
    """Refuse to enrich several at once, in words of those endpoints' own."""
    return ApiError(status, {"status": "failed", "error_code": code, "error_message": text})


def malformed_id(name: str) -> ApiError:
    """Refuse something that is not an id."""
    return unprocessable(f"Parameters misconfigured. {name} is not a valid ID")


def per_page_not_supported(*, short: bool) -> ApiError:
    """Refuse a page size over the maximum."""
    body: dict[str, Any] = {"error": "Per page not supported"}
    if not short:
        body["error_details"] = {"code": "SEARCH_VALIDATION_SEARCH_PARAMS_INVALID"}
    return ApiError(422, body)


def per_page_zero() -> ApiError:
    """Refuse a page of nothing."""
    return unprocessable("An error occurred. Per page cannot be 0.")


def over_threshold(action: str) -> ApiError:
    """Refuse a page beyond the display limit."""
    text = "Page * per page number is over threshold."
    if action == "emailer_messages/search":
        text = f"Invalid parameter passed in. {text}"
    return unprocessable(text)


def invalid_sort() -> ApiError:
    """Refuse an order that does not exist."""
    return ApiError(422, {"error": "Invalid sort criteria", "skip_alert_dialog": True})


def not_a_range() -> ApiError:
    """Refuse a string where a range belongs."""
    return unprocessable("no implicit conversion of String into Integer")


def bad_filter() -> ApiError:
    """Refuse a filter value that names nothing."""
    return unprocessable("Your search parameters are entered incorrectly. Did you try to edit the URL directly?")


def no_such_page(status: int) -> ApiError:
    """Refuse a page behind the last."""
    return ApiError(status, {"error": "Page is out of range."})


#: Refusals by what is wrong, each with its status, its words and its code.
REFUSALS = {
    "key": (401, "The API key is invalid.", "AUTH.AUTHENTICATION.API_KEY_INVALID"),
    "inactive": (403, "This account is inactive.", "AUTH.AUTHENTICATION.ACCOUNT_INACTIVE"),
    "ip": (403, "Requests from this IP address are not allowed.", "AUTH.AUTHORIZATION.IP_NOT_ALLOWED"),
    "plan": (403, "This plan has no access to the API.", "AUTH.AUTHORIZATION.API_ACCESS_UNAVAILABLE"),
    "scope": (403, "This key may not access the endpoint.", "AUTH.AUTHORIZATION.ENDPOINT_NOT_PERMITTED"),
    "oauth_scope": (403, "This token lacks the scope of the endpoint.", "AUTH.AUTHORIZATION.OAUTH_SCOPE_MISSING"),
    "credits": (422, "You have insufficient credits!", "BILLING.LIMIT.CREDITS_EXHAUSTED"),
}


def refused(reason: str, status: int = 0) -> ApiError:
    """Refuse as Apollo does since 2026, with a code; another status may be asked for."""
    usual, text, code = REFUSALS[reason]
    details = {"code": code, "message": text, "suggestions": [], "context": {}}
    return ApiError(status or usual, {"error": text, "error_details": details})


def not_found() -> ApiError:
    """Answer for what is not there, or no such endpoint."""
    return ApiError(404, {"status": 404, "error": "Not Found"})
