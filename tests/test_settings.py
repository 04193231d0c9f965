"""A bad setting is one line that names it and says what to do; none of them sends a request or tells a secret."""

from __future__ import annotations

from typing import Any

import pytest

from tap_apollo.errors import SettingsError
from tap_apollo.tap import TapApollo

SECRET = "sk_live_do not print"  # noqa: S105
SEARCH = {"name": "a", "filters": {"person_titles": ["cto"]}}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "Setting `api_key` is missing: set it, or `access_token` for OAuth."),
        ({"api_key": None}, "Setting `api_key` is missing: set it, or `access_token` for OAuth."),
        ({"api_key": ""}, "Setting `api_key` must hold visible ASCII characters only, and one at least."),
        ({"api_key": SECRET}, "Setting `api_key` must hold visible ASCII characters only"),
        ({"api_key": "••••1234"}, "Setting `api_key` must hold visible ASCII characters only"),
        ({"api_key": "k", "lookback_days": 10**6}, "Setting `lookback_days` must be 3650 or less."),
        ({"api_key": "k", "request_timeout": 10**14}, "Setting `request_timeout` must be 3600 or less."),
        ({"api_key": "k", "start_date": "0001-01-01T00:00:00+02:00"}, "Setting `start_date` must be an ISO 8601"),
        (
            {"api_key": "k", "api_url": "https://me:sk_live_do@host/v1"},
            "Setting `api_url` must be a URL",
        ),
        ({"api_key": "k", "full_refresh_days": {"account": 1}}, "names `account`, no stream that reads pages: did you"),
        ({"api_key": [SECRET]}, "Setting `api_key` must be string."),
        (
            {"api_key": "k", "access_token": "t"},
            "Settings `api_key` and `access_token` exclude each other: remove one.",
        ),
        ({"apikey": SECRET}, "Unknown setting `apikey`: did you mean `api_key`?"),
        ({"api_key": "k", "budget": 1}, "Unknown setting `budget`: remove it, or see `tap-apollo --about`"),
        ({"api_key": "k", "lookback_days": -1}, "Setting `lookback_days` must be 0 or more."),
        ({"api_key": "k", "lookback_days": "ten"}, "Setting `lookback_days` must be integer."),
        ({"api_key": "k", "request_timeout": 0}, "Setting `request_timeout` must be 1 or more."),
        ({"api_key": "k", "strict": "yes"}, "Setting `strict` must be boolean."),
        ({"api_key": "k", "custom_fields": "names"}, "Setting `custom_fields` must be one of labels, raw."),
        ({"api_key": "k", "api_url": "api.apollo.io"}, "Setting `api_url` must"),
        ({"api_key": "k", "user_agent": "a\nb"}, "Setting `user_agent` must"),
        ({"api_key": "k", "start_date": "yesterday"}, "Setting `start_date` must be an ISO 8601 timestamp"),
        (
            {"api_key": "k", "max_pages": {"contact": 1}},
            "names `contact`, no stream that reads pages: did you",
        ),
        ({"api_key": "k", "max_pages": {"lists": 1}}, "names `lists`, no stream that reads pages"),
        ({"api_key": "k", "max_pages": {"contacts": 0}}, "Setting `max_pages.contacts` must be 1 or more."),
        ({"api_key": "k", "people_searches": [{"name": "a"}]}, "Setting `people_searches.0` needs `filters`: add it."),
        ({"api_key": "k", "people_searches": [{"name": "a", "filters": {}}]}, "`a` needs at least one filter."),
        (
            {"api_key": "k", "people_searches": [{"name": "a", "filters": {"person_title[]": ["x"]}}]},
            "`person_titles`?",
        ),
        ({"api_key": "k", "people_searches": [SEARCH, SEARCH]}, "holds two searches named `a`"),
        ({"api_key": "k", "people_searches": [{**SEARCH, "pages": 1}]}, "Unknown setting `people_searches.0.pages`"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config=settings)
    assert line in raised.value.message
    assert SECRET not in raised.value.message
    assert "sk_live_do" not in raised.value.message
    assert "\n" not in raised.value.message


def test_every_bad_setting_has_a_line_of_its_own() -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "strict": "yes", "lookback_days": -1, "budget": 1})
    assert len(raised.value.message.splitlines()) == 3


@pytest.mark.parametrize("credential", ["api_key", "access_token"])
def test_one_credential_is_enough(credential: str) -> None:
    tap = TapApollo(config={credential: "k", "start_date": "2026-01-31"})
    assert tap.config["lookback_days"] == 30
