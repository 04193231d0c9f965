"""The settings: their JSON Schema, once, and what is said about a bad one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft7Validator
from singer_sdk import typing as th

from tap_apollo.records import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError

DEFAULT_API_URL = "https://api.apollo.io/api/v1"

#: A credential goes into a header: visible ASCII. Anything else is a pasted line break or a masked key.
_CREDENTIAL = r"^[\x21-\x7e]+$"

#: The filters of the people search that the vendor documents. Apollo ignores what it does not know, without a word.
PEOPLE_FILTERS = frozenset(
    {
        "contact_email_status",
        "currently_not_using_any_of_technology_uids",
        "currently_using_all_of_technology_uids",
        "currently_using_any_of_technology_uids",
        "include_similar_titles",
        "organization_ids",
        "organization_job_locations",
        "organization_job_posted_at_range",
        "organization_locations",
        "organization_num_employees_ranges",
        "organization_num_jobs_range",
        "person_locations",
        "person_seniorities",
        "person_titles",
        "q_keywords",
        "q_organization_domains_list",
        "q_organization_job_titles",
        "revenue_range",
    }
)

SETTINGS = th.PropertiesList(
    th.Property(
        "api_key",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="API key",
        description="Apollo API key, sent as `x-api-key`. This or `access_token` is needed.",
    ),
    th.Property(
        "access_token",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="Access token",
        description="OAuth access token, sent as a bearer token, in place of `api_key`.",
    ),
    th.Property(
        "api_url",
        th.StringType(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"),
        default=DEFAULT_API_URL,
        title="API URL",
        description="Base URL of the API; point it at a local sandbox to try the tap without an account.",
    ),
    th.Property(
        "user_agent",
        th.StringType(pattern=r"^[\x20-\x7e]+$"),
        title="User agent",
        description="`User-Agent` of every request; by default the tap's name and version.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="Earliest record of the incremental and windowed streams, an ISO 8601 timestamp.",
    ),
    th.Property(
        "lookback_days",
        th.IntegerType(minimum=0, maximum=3650),
        default=30,
        title="Lookback days",
        description=(
            "How many days before their bookmark outreach_emails, calls and conversations are read again, "
            "for opens, replies and edits that come late."
        ),
    ),
    th.Property(
        "full_refresh_days",
        th.ObjectType(additional_properties=th.IntegerType(minimum=0)),
        default={"accounts": 1},
        title="Full refresh days",
        description=(
            "Per stream, after how many days an incremental read gives way to a whole one: it finds what changed "
            "without a sign, such as accounts touched by silent jobs."
        ),
    ),
    th.Property(
        "strict",
        th.BooleanType,
        default=False,
        title="Strict",
        description="Exit non-zero when a selected stream was forbidden or could not be read completely.",
    ),
    th.Property(
        "max_pages",
        th.ObjectType(additional_properties=th.IntegerType(minimum=1)),
        default={},
        title="Max pages",
        description='Most pages to read per stream and sync, such as {"contacts": 30}.',
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1, maximum=3600),
        default=60,
        title="Request timeout",
        description="Seconds to wait for Apollo to accept a connection, and again for it to answer.",
    ),
    th.Property(
        "custom_fields",
        th.StringType(allowed_values=["labels", "raw"]),
        default="labels",
        title="Custom fields",
        description=(
            "`labels` fills `custom_fields` of contacts, accounts and deals with each custom field by its label, "
            "typed, option ids resolved to names; `raw` leaves only Apollo's map, `typed_custom_fields`."
        ),
    ),
    th.Property(
        "people_searches",
        th.ArrayType(
            th.ObjectType(
                th.Property("name", th.StringType(min_length=1), required=True, nullable=False),
                th.Property("filters", th.ObjectType(additional_properties=True), required=True, nullable=False),
                th.Property("max_pages", th.IntegerType(minimum=1)),
                additional_properties=False,
            ),
        ),
        default=[],
        title="People searches",
        description=(
            "Searches of Apollo's people database for the stream people: a list of {name, filters, max_pages}, "
            "with filters as Apollo names them, at least one each. Free of credits."
        ),
    ),
    additional_properties=False,
).to_dict()


def problems(config: Mapping[str, Any], schema: Mapping[str, Any], streams: Iterable[str]) -> list[str]:
    """Say what is wrong with the settings, one line each; no line quotes a value that may be secret.

    Args:
        config: The settings as given.
        schema: The JSON Schema of all settings, those of the SDK included.
        streams: The names of the streams that read pages, which `max_pages` and `full_refresh_days` may name.
    """
    found = [_explain(error) for error in Draft7Validator(schema).iter_errors(config)]
    return found or list(_contradictions(config, streams))


def _explain(error: ValidationError) -> str:
    """Say in one line what is wrong with one setting, and what to do."""
    where = ".".join(str(part) for part in error.absolute_path)
    node, given = cast("dict[str, Any]", error.schema), cast("Any", error.instance)
    if error.validator == "additionalProperties":
        known = list(node["properties"])
        return "; ".join(
            f"Unknown setting `{f'{where}.' if where else ''}{name}`{_suggest(name, known)}"
            for name in sorted(set(given) - set(known))
        )
    if error.validator == "required":
        missing = next(name for name in node["required"] if name not in given)
        return f"Setting `{where}` needs `{missing}`: add it."
    wanted = _WANTED.get(str(error.validator), "{validator} {value}").format(
        validator=error.validator,
        value=_readable(error.validator_value),
    )
    if where == "api_url":
        wanted = "be a URL such as https://api.apollo.io/api/v1, without credentials or a query"
    return f"Setting `{where}` must {wanted}."


_WANTED = {
    "type": "be {value}",
    "minimum": "be {value} or more",
    "maximum": "be {value} or less",
    "minLength": "not be empty",
    "enum": "be one of {value}",
    "pattern": "hold visible ASCII characters only, and one at least",
}


def _readable(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, list):
        return ", ".join(str(item) for item in value if item not in {"null", None})
    return str(value)


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean `{close[0]}`?" if close else ": remove it, or see `tap-apollo --about` for the settings."


def _contradictions(config: Mapping[str, Any], streams: Iterable[str]) -> Iterator[str]:
    """What each setting allows by itself and the settings together do not."""
    if not config.get("api_key") and not config.get("access_token"):
        yield "Setting `api_key` is missing: set it, or `access_token` for OAuth."
    if config.get("api_key") and config.get("access_token"):
        yield "Settings `api_key` and `access_token` exclude each other: remove one."
    if (start := config.get("start_date")) is not None:
        try:
            timestamp(start)
        except ValueError:
            yield "Setting `start_date` must be an ISO 8601 timestamp, such as 2026-01-31T00:00:00Z."
    streams = list(streams)
    for setting in ("max_pages", "full_refresh_days"):
        for name in config.get(setting) or {}:
            if name not in streams:
                yield f"Setting `{setting}` names `{name}`, no stream that reads pages{_suggest(name, streams)}"
    yield from _bad_searches(config.get("people_searches") or [])


def _bad_searches(searches: list[dict[str, Any]]) -> Iterator[str]:
    names = [search["name"] for search in searches]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Setting `people_searches` holds two searches named `{name}`: give each a name of its own."
    for search in searches:
        where = f"Setting `people_searches`: the search `{search['name']}`"
        if not search["filters"]:
            yield f"{where} needs at least one filter."
        for name in {name.partition("[")[0] for name in search["filters"]} - PEOPLE_FILTERS:
            if close := difflib.get_close_matches(name, PEOPLE_FILTERS, n=1, cutoff=0.85):
                yield f"{where} has a filter `{name}`, which Apollo would ignore: did you mean `{close[0]}`?"
