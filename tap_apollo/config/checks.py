"""What is said about bad settings, before the first request: one line each, that names the setting and the remedy."""

from __future__ import annotations

import datetime
import difflib
import fnmatch
import json
import re
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft7Validator

from tap_apollo import schemas
from tap_apollo.config.settings import CUSTOM_RANGE
from tap_apollo.singer.conform import KINDS, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from jsonschema import ValidationError

#: The filters of the searches that the vendor documents. Apollo ignores what it does not know, without a word.
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

ORGANIZATION_FILTERS = frozenset(
    {
        "currently_using_any_of_technology_uids",
        "latest_funding_amount_range",
        "latest_funding_date_range",
        "organization_ids",
        "organization_job_locations",
        "organization_job_posted_at_range",
        "organization_locations",
        "organization_not_locations",
        "organization_num_employees_ranges",
        "organization_num_jobs_range",
        "q_organization_domains_list",
        "q_organization_job_titles",
        "q_organization_keyword_tags",
        "q_organization_name",
        "revenue_range",
        "total_funding_range",
    }
)


def problems(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    *,
    streams: Collection[str],
    paged: Collection[str],
    refreshed: Collection[str],
    credit: Collection[str],
) -> list[str]:
    """Say what is wrong with the settings, one line each; no line quotes a value that may be secret.

    Args:
        config: The settings as given.
        schema: The JSON Schema of all settings, those of the SDK included.
        streams: The names of all streams, which `stream_maps` may name.
        paged: The names of the streams that `max_pages` may name.
        refreshed: The names of the streams that `full_refresh_days` may name.
        credit: The names of the streams that cost credits, which `credit_streams` may name.
    """
    found = [line for error in Draft7Validator(schema).iter_errors(config) for line in _explain(error)]
    if found:
        return [*dict.fromkeys(found)]  # a line for all that one object lacks comes once for each
    return [
        *_contradictions(config),
        *_unknown_streams(config, "max_pages", "no stream that it applies to", paged),
        *_unknown_streams(config, "full_refresh_days", "no stream that it applies to", refreshed),
        *_unknown_streams(
            config,
            "credit_streams",
            "no stream that costs credits",
            credit,
            f" Those that do: {', '.join(credit)}.",
        ),
        *_bad_searches("people_searches", config, PEOPLE_FILTERS),
        *_bad_searches("organization_searches", config, ORGANIZATION_FILTERS),
        *_bad_reports(config, schema["properties"]["analytics_reports"]["items"]["properties"]),
        *_nothing_to_buy(config),
        *_bad_enrichment(config),
        *_bad_stream_maps(config, streams),
    ]


#: What reads a variable of the environment; the others are text, or anything.
_READ: dict[str, Callable[[str], Any]] = {"integer": int, "array": json.loads, "object": json.loads}


def bad_variables(environment: Mapping[str, str], prefix: str, schema: Mapping[str, Any]) -> list[str]:
    """Say which variables of the environment do not hold what their settings want, one line each.

    Args:
        environment: The variables.
        prefix: What the name of each begins with, before that of its setting.
        schema: The JSON Schema of all settings, those of the SDK included.
    """
    found = []
    for name, node in schema["properties"].items():
        kind = next(kind for kind in node["type"] if kind != "null")
        read = _READ.get(kind, str)
        try:
            read(environment.get(f"{prefix}{name.upper()}", "0"))
        except ValueError:
            form = KINDS[kind] if kind == "integer" else f"{KINDS[kind]}, written as JSON"
            found.append(f"Setting `{name}` in the environment ({prefix}{name.upper()}) must be {form}.")
    return found


def _explain(error: ValidationError) -> Iterator[str]:
    """Say what is wrong with one setting, or with several of one object, and what to do: a line each."""
    where = ".".join(str(part) for part in error.absolute_path)
    node, given = cast("dict[str, Any]", error.schema), cast("Any", error.instance)
    if error.validator == "additionalProperties":
        known = list(node["properties"])
        for name in sorted(set(given) - set(known)):
            advice = _suggest(name, known) or ": remove it, or see `tap-apollo --about` for the settings."
            yield f"Unknown setting `{f'{where}.' if where else ''}{name}`{advice}"
    elif error.validator == "required":
        missing = [f"`{name}`" for name in node["required"] if name not in given]
        yield f"Setting `{where}` needs {' and '.join(missing)}: add {'it' if len(missing) == 1 else 'them'}."
    else:
        # An empty text breaks a pattern, too.
        validator = "minLength" if given == "" and error.validator == "pattern" else str(error.validator)
        wanted = _WANTED.get(validator, "{validator} {value}").format(
            validator=validator,
            value=_readable(error.validator_value),
        )
        for form in (re.sub(r"\.\d+", ".*", where), f"{where.partition('.')[0]}.*"):
            wanted = _OF_ITS_OWN.get((form, validator), wanted)
        yield f"Setting `{where}` must {wanted}."


_AN_ID = "be an id of Apollo's, 24 hex digits"

#: What the values of particular settings must be, where the general words say too little.
_OF_ITS_OWN = {
    ("full_refresh_days.*", "type"): "be a whole number or null",
    ("api_url", "pattern"): "be a URL such as https://api.apollo.io/api/v1, without credentials or a query",
    ("user_agent", "pattern"): "be visible ASCII characters and spaces",
    ("domains.*", "pattern"): "be a domain such as apollo.io, without an @",
    ("organization_ids.*", "pattern"): _AN_ID,
    ("person_ids.*", "pattern"): _AN_ID,
    ("people_enrichment.webhook_url", "pattern"): "be a URL that begins with https://",
}

_WANTED = {
    "type": "be {value}",
    "minimum": "be {value} or more",
    "maximum": "be {value} or less",
    "minLength": "not be empty",
    "enum": "be one of {value}",
    "anyOf": "be one of {value}",
    "oneOf": "be one of {value}",
    "pattern": "be visible ASCII characters only, without a space or a line break: copy it anew",
}


def _readable(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(word for word in dict.fromkeys(map(_readable, value)) if word not in {"null", "None"})
    if isinstance(value, dict):  # one of the schemas that the SDK has for a setting
        return _readable(value.get("const", value.get("type")))
    return f"{value:,}" if isinstance(value, int) else KINDS.get(value, str(value))


def _suggest(name: str, known: Iterable[str], mark: str = "`") -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {mark}{close[0]}{mark}?" if close else ""


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """What each setting allows by itself and the settings together do not."""
    tokens = [name for name in ("access_token", "refresh_token") if config.get(name)]
    if not config.get("api_key") and not tokens:
        yield "Setting `api_key` is missing: set it, or `access_token` or `refresh_token` for OAuth."
    for name in tokens:
        if config.get("api_key"):
            yield f"Settings `api_key` and `{name}` exclude each other: remove one."
    if config.get("refresh_token"):
        for name in ("client_id", "client_secret"):
            if not config.get(name):
                yield f"Setting `refresh_token` needs `{name}`: set it."
    elif config.get("oauth_token_file"):
        yield "Setting `oauth_token_file` needs `refresh_token`: set that, or remove `oauth_token_file`."
    if (start := config.get("start_date")) is not None:
        yield from _bad_start(start)


def _bad_start(start: str) -> Iterator[str]:
    """A start that is none, or that nothing can be newer than: a slip, or a clock that is behind."""
    try:
        begins = timestamp(start)
    except ValueError:
        yield "Setting `start_date` must be an ISO 8601 timestamp, such as 2026-01-31T00:00:00Z."
        return
    clock = datetime.datetime.now(tz=datetime.timezone.utc)
    if begins > (clock + datetime.timedelta(days=1)).isoformat(timespec="microseconds"):
        yield (
            f"Setting `start_date` is {begins[:19]}Z, more than a day ahead of this machine's clock "
            f"({clock:%Y-%m-%dT%H:%M:%SZ}): correct the one that is wrong."
        )


def _unknown_streams(
    config: Mapping[str, Any],
    setting: str,
    what: str,
    known: Collection[str],
    choice: str = "",
) -> Iterator[str]:
    names = list(config.get(setting) or ())
    for name in dict.fromkeys(names):
        if name not in known:
            yield f"Setting `{setting}` names {name}, {what}{_suggest(name, known, mark='') or f': remove it.{choice}'}"
        elif names.count(name) > 1:
            yield f"Setting `{setting}` names {name} twice: remove one."


def _bad_searches(setting: str, config: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    searches = config.get(setting) or []
    names = [search["name"] for search in searches]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Setting `{setting}` holds two searches named `{name}`: give each a name of its own."
    for search in searches:
        where = f"Setting `{setting}`: the search `{search['name']}`"
        if not search["filters"]:
            yield f"{where} has no filters: add one, as without any it finds everything."
        for name in {name.partition("[")[0] for name in search["filters"]} - {*known}:
            if close := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
                yield f"{where} has a filter `{name}`, which Apollo would ignore: did you mean `{close[0]}`?"


def _bad_reports(config: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    reports = config.get("analytics_reports") or []
    names = [report["name"] for report in reports]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Setting `analytics_reports` holds two reports named `{name}`: give each a name of its own."
    for report in reports:
        where = f"Setting `analytics_reports`: the report `{report['name']}`"
        metrics = [metric["value"] for metric in report["metrics"]]
        if not metrics:
            yield f"{where} needs at least one metric in `metrics`: add it."
        for metric in sorted({metric for metric in metrics if metrics.count(metric) > 1}):
            yield f"{where} has the metric `{metric}` twice: remove one."
        for name in sorted({*report} - {*known}):
            if close := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
                yield f"{where} has `{name}`, which Apollo would ignore: did you mean `{close[0]}`?"
        yield from _bad_dimensions(where, report)
        yield from _bad_date_range(where, report)


def _bad_dimensions(where: str, report: Mapping[str, Any]) -> Iterator[str]:
    rows, columns = report.get("group_by") or [], report.get("pivot_group_by") or []
    for name, given in (("group_by", rows), ("pivot_group_by", columns)):
        if len(given) > 1:
            yield f"{where} has {len(given)} entries in `{name}`, and Apollo takes one: make reports of the others."
    if columns and not rows:
        yield f"{where} has `pivot_group_by` and no `group_by`: add `group_by`."
    if rows and columns and rows[0]["name"] == columns[0]["name"]:
        yield f"{where} has the same dimension in `group_by` and `pivot_group_by`: change one."


def _bad_date_range(where: str, report: Mapping[str, Any]) -> Iterator[str]:
    ranges, span = report["date_ranges"], (report.get("filters") or {}).get("smart_datetime_range")
    if len(ranges) != 1:
        yield f"{where} needs one entry in `date_ranges`, such as {{modality: last_30_days}}, and has {len(ranges)}."
        return
    preset = ranges[0]["modality"]
    if preset != CUSTOM_RANGE:
        if span is not None:
            yield (
                f"{where} asks for {preset} and for dates: set `modality` to {CUSTOM_RANGE}, or remove "
                "`filters.smart_datetime_range`."
            )
        return
    ends = [f"{span.get(end)}" for end in ("min", "max")] if isinstance(span, dict) else [""]
    if not all(map(_is_day, ends)):
        yield (
            f"{where} asks for a {CUSTOM_RANGE}: set `filters.smart_datetime_range` to {{min, max}}, its first day and "
            "its last, such as 2026-01-31."
        )
    elif ends[0] > ends[1]:
        yield f"{where} asks for a {CUSTOM_RANGE} that ends before it begins: swap `min` and `max`."


def _bad_stream_maps(config: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    """Maps that would do nothing: what they were to keep out would go out."""
    for key, definition in (config.get("stream_maps") or {}).items():
        source = f"{definition.get('__source__', key)}" if isinstance(definition, dict) else key
        streams = fnmatch.filter(known, source)
        if not (streams or key.startswith("__")):
            yield f"Setting `stream_maps` names {source}, which is no stream{_suggest(source, known) or ': remove it.'}"
        for stream in streams if isinstance(definition, dict) and streams == [source] else ():
            columns = schemas.load(stream)["properties"]
            for column, expression in definition.items():
                removed = expression is None or expression == "__NULL__"
                if removed and not (column in columns or column.startswith("__")):
                    yield (
                        f"Setting `stream_maps` removes `{column}`, which is no column of {stream}"
                        f"{_suggest(column, columns) or ': remove it.'}"
                    )


def _is_day(value: str) -> bool:
    try:
        return f"{datetime.date.fromisoformat(value)}" == value
    except ValueError:
        return False


def _nothing_to_buy(config: Mapping[str, Any]) -> Iterator[str]:
    """Credit streams without anything to ask for."""
    named = config.get("credit_streams") or []
    wants = {
        "organizations": ("`organization_searches`", config.get("organization_searches")),
        "person_details": (
            "`person_ids` or `people_searches`",
            config.get("person_ids") or config.get("people_searches"),
        ),
        "people_enrichment": ("`people_enrichment.from`", (config.get("people_enrichment") or {}).get("from")),
    }
    companies = config.get("organization_ids") or "organizations" in named
    for name in ("organization_details", "organization_job_postings", "news_articles"):
        wants[name] = ("`organization_ids`, or add organizations to `credit_streams`", companies)
    for name in named:
        setting, given = wants.get(name, ("", True))
        if not given:
            yield f"Setting `credit_streams` names {name}, which has nothing to ask for: set {setting}."


def _bad_enrichment(config: Mapping[str, Any]) -> Iterator[str]:
    options = config.get("people_enrichment") or {}
    where = "Setting `people_enrichment"
    details, source = options.get("details"), options.get("from")
    if source == "details" and not details:
        yield f"{where}.from` is details: list the persons in `people_enrichment.details`."
    if details and source != "details":
        yield f"{where}.details` is not used: set `people_enrichment.from` to details, or remove it."
    if not all(details or ()):
        yield f"{where}.details` has an empty entry: fill or remove it."
    if source == "people" and not config.get("people_searches"):
        yield f"{where}.from` is people: set `people_searches`, which finds them."
    waterfall = options.get("run_waterfall_email") or options.get("run_waterfall_phone")
    if (waterfall or options.get("reveal_phone_number")) and not options.get("webhook_url"):
        yield f"{where}.webhook_url` is missing: Apollo wants it for phone numbers and waterfalls."
    if waterfall and not options.get("max_waterfall_credits"):
        yield f"{where}.max_waterfall_credits` is missing: set the most that a waterfall may cost per person."
