"""The settings: their JSON Schema, once."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

DEFAULT_API_URL = "https://api.apollo.io/api/v1"

#: What holds of `full_refresh_days` for a stream that the setting does not name.
REFRESH_DAYS = {"accounts": 1}

#: The end of a value; by itself, ``$`` also matches before a line break there, as a file that is pasted has one.
_END = r"$(?!\n)"

#: A credential goes into a header: visible ASCII. Anything else is a pasted line break or a masked key.
_CREDENTIAL = r"^[\x21-\x7e]+" + _END

#: Ids of Apollo's database.
_ID = r"^[0-9a-f]{24}" + _END

_DOMAIN = r"^ *([A-Za-z]+://)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?(/[^\s@]*)? *" + _END

#: What a person may be described by, for people/bulk_match.
PERSON_CLUES = (
    "id",
    "email",
    "hashed_email",
    "linkedin_url",
    "name",
    "first_name",
    "last_name",
    "organization_name",
    "domain",
)


#: The presets that the vendor documents for the date range of an analytics report, and what stands for dates.
CUSTOM_RANGE = "custom_range"
DATE_RANGES = (
    "today",
    "yesterday",
    "current_week",
    "current_month",
    "current_quarter",
    "current_year",
    "last_7_days",
    "last_2_weeks",
    "last_30_days",
    "last_3_months",
    "last_6_months",
    "last_12_months",
    "last_4_quarters",
    "last_2_years",
    "previous_week",
    "previous_month",
    "previous_quarter",
    "previous_year",
    "all_time",
    CUSTOM_RANGE,
)


def _required(name: str, description: str, options: list[str] | None = None) -> th.Property[Any]:
    text = th.StringType(min_length=1, allowed_values=options)
    return th.Property(name, text, required=True, nullable=False, description=description)


def _dimension(name: str, description: str) -> th.Property[Any]:
    dimension = th.ObjectType(
        _required("name", "The dimension, as Apollo names it, such as smart_user_id."),
        th.Property("limit", th.IntegerType(minimum=1), description="Most groups."),
    )
    return th.Property(name, th.ArrayType(dimension), description=description)


_REPORT = th.ObjectType(
    _required("name", "What the rows of the report carry; each has one of its own."),
    th.Property(
        "metrics",
        th.ArrayType(
            th.ObjectType(
                _required("value", "The metric, as Apollo names it, or custom_metric_ with the id of the team's own."),
                _required(
                    "smart_datetime_reference", "The time that the date range counts by, such as activity_datetime."
                ),
                _required("smart_user_id_reference", "The user that the metric counts for, such as user_id."),
                th.Property("display_name", th.StringType(min_length=1), description="Label of the metric."),
            ),
        ),
        required=True,
        nullable=False,
        description="What is counted, at least one.",
    ),
    th.Property(
        "date_ranges",
        th.ArrayType(th.ObjectType(_required("modality", "The preset.", [*DATE_RANGES]))),
        required=True,
        nullable=False,
        description="One entry: a preset, or custom_range with the dates in `filters.smart_datetime_range`.",
    ),
    _dimension("group_by", "What the rows are: one dimension, or none."),
    _dimension("pivot_group_by", "What the columns are: one dimension, or none."),
    th.Property("group_by_totals_selected", th.BooleanType, description="Whether to add totals over the rows."),
    th.Property(
        "pivot_group_by_totals_selected", th.BooleanType, description="Whether to add totals over the columns."
    ),
    th.Property(
        "filters",
        th.ObjectType(additional_properties=True),
        description="What to count, by filter; `smart_datetime_range` is {min, max}, the first day and the last.",
    ),
    th.Property(
        "sorts",
        th.ArrayType(
            th.ObjectType(
                th.Property("asc", th.BooleanType, required=True, nullable=False),
                th.Property("metric", th.ObjectType(additional_properties=True)),
            ),
        ),
        description="The metric that decides which groups a `limit` leaves.",
    ),
    th.Property("skip_group_by_values", th.ArrayType(th.StringType), description="Keys of groups to leave out."),
    th.Property(
        "min_ratio_denominator",
        th.IntegerType(minimum=0),
        description="Least denominator with which a ratio is counted.",
    ),
    additional_properties=True,
)


def _searches() -> th.ArrayType[Any]:
    return th.ArrayType(
        th.ObjectType(
            th.Property("name", th.StringType(min_length=1), required=True, nullable=False),
            th.Property("filters", th.ObjectType(additional_properties=True), required=True, nullable=False),
            th.Property("max_pages", th.IntegerType(minimum=1)),
            additional_properties=False,
        ),
    )


SETTINGS = th.PropertiesList(
    th.Property(
        "api_key",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="API key",
        description="Apollo API key, sent as `x-api-key`. This or OAuth tokens are needed.",
    ),
    th.Property(
        "access_token",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="Access token",
        description="OAuth access token, in place of `api_key`; lasts 30 days.",
    ),
    th.Property(
        "refresh_token",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="Refresh token",
        description=(
            "OAuth refresh token, by which expired access tokens are renewed; needs `client_id` and `client_secret`."
        ),
    ),
    th.Property(
        "client_id",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="Client id",
        description="Id of the OAuth app that the tokens are for.",
    ),
    th.Property(
        "client_secret",
        th.StringType(pattern=_CREDENTIAL),
        secret=True,
        title="Client secret",
        description="Secret of the OAuth app that the tokens are for.",
    ),
    th.Property(
        "oauth_token_file",
        th.StringType(min_length=1),
        title="OAuth token file",
        description="File that keeps renewed tokens for the next run: renewing revokes the old ones.",
    ),
    th.Property(
        "api_url",
        th.StringType(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?" + _END),
        default=DEFAULT_API_URL,
        title="API URL",
        description="Base URL of the API; point it at a local sandbox to try the tap without an account.",
    ),
    th.Property(
        "user_agent",
        th.StringType(pattern=r"^[\x20-\x7e]+" + _END),
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
        th.ObjectType(additional_properties=th.IntegerType(minimum=0, nullable=True)),
        default=REFRESH_DAYS,
        title="Full refresh days",
        description=(
            "Per stream, after how many days an incremental read gives way to a whole one: it finds what changed "
            "without a sign, such as accounts touched by silent jobs. What it does not name keeps its default; null "
            "is never."
        ),
    ),
    th.Property(
        "detect_deletes",
        th.BooleanType,
        default=False,
        title="Detect deletes",
        description=(
            "Whether the target is told, by ACTIVATE_VERSION, to drop or mark the rows that Apollo does not have any "
            "more: after a run that read the whole of a stream's list and counted every record of it, never else."
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
        description=(
            "Most pages to read per stream and sync, or most requests of a stream that asks about each record or costs "
            'credits, such as {"contacts": 30}.'
        ),
    ),
    th.Property(
        "max_concurrent_requests",
        th.IntegerType(minimum=1, maximum=100),
        default=4,
        title="Max concurrent requests",
        description="Most requests in flight at once: of streams side by side, and of pages read ahead.",
    ),
    th.Property(
        "max_wait_seconds",
        th.IntegerType(minimum=0),
        default=3900,
        title="Max wait seconds",
        description=(
            "Longest wait for a rate window; a stream that would have to wait longer ends, and the next run goes on."
        ),
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
            "`labels` fills `custom_fields` of contacts, accounts and deals with each custom field by its label in "
            "lower case with underscores (`lead_score`), typed, option ids resolved to names; `raw` leaves only "
            "Apollo's map, `typed_custom_fields`."
        ),
    ),
    th.Property(
        "people_searches",
        _searches(),
        default=[],
        title="People searches",
        description=(
            "Searches of Apollo's people database for the stream people: a list of {name, filters, max_pages}, "
            "with filters as Apollo names them, at least one each. Free of credits."
        ),
    ),
    th.Property(
        "analytics_reports",
        th.ArrayType(_REPORT),
        default=[],
        title="Analytics reports",
        description=(
            "Reports for the stream analytics_reports: a list of {name, metrics, date_ranges, group_by, "
            "pivot_group_by, filters, ...}, all but the name as Apollo names it. Apollo gives five an hour."
        ),
    ),
    th.Property(
        "credit_streams",
        th.ArrayType(th.StringType),
        default=[],
        title="Credit streams",
        description=(
            "Streams that cost Apollo credits and may run, in the order in which they may spend; "
            "without being named here, such a stream does not exist."
        ),
    ),
    th.Property(
        "credit_budget",
        th.IntegerType(minimum=0),
        default=0,
        title="Credit budget",
        description="Most credits that one sync may spend.",
    ),
    th.Property(
        "credit_budget_per_cycle",
        th.IntegerType(minimum=0),
        title="Credit budget per cycle",
        description=(
            "Most credits that all syncs may spend in one of Apollo's billing cycles, counted in the state. It may be "
            "a month, a quarter or a year; without Apollo's meter, which shows it, nothing is bought."
        ),
    ),
    th.Property(
        "credit_budget_per_month",
        th.IntegerType(minimum=0),
        title="Credit budget per month",
        description="Most credits that all syncs may spend in a calendar month, by UTC, counted in the state.",
    ),
    th.Property(
        "credit_reserve",
        th.IntegerType(minimum=0),
        default=0,
        title="Credit reserve",
        description=(
            "Credits of the team's balance that are not to be touched; without Apollo's meter, which shows it, nothing "
            "is bought."
        ),
    ),
    th.Property(
        "credit_refresh_days",
        th.IntegerType(minimum=1),
        title="Credit refresh days",
        description=(
            "After how many days what was bought, a search's pages or a record, may be bought again; without it, never."
        ),
    ),
    th.Property(
        "organization_searches",
        _searches(),
        default=[],
        title="Organization searches",
        description=(
            "Searches of Apollo's company database for the stream organizations: a list of {name, filters, max_pages}, "
            "with filters as Apollo names them, at least one each. A credit per page of 100."
        ),
    ),
    th.Property(
        "organization_ids",
        th.ArrayType(th.StringType(pattern=_ID)),
        default=[],
        title="Organization ids",
        description=(
            "Companies for organization_details, organization_job_postings and news_articles; "
            "without them, those that organizations found."
        ),
    ),
    th.Property(
        "person_ids",
        th.ArrayType(th.StringType(pattern=_ID)),
        default=[],
        title="Person ids",
        description="People for person_details; without them, those that people_searches find.",
    ),
    th.Property(
        "domains",
        th.ArrayType(th.StringType(pattern=_DOMAIN)),
        default=[],
        title="Domains",
        description="Domains of the companies for organization_enrichment; without them, those of the accounts.",
    ),
    th.Property(
        "people_enrichment",
        th.ObjectType(
            th.Property("from", th.StringType(allowed_values=["details", "contacts", "people"])),
            th.Property(
                "details",
                th.ArrayType(
                    th.ObjectType(
                        *(th.Property(clue, th.StringType(min_length=1)) for clue in PERSON_CLUES),
                        additional_properties=False,
                    ),
                ),
                secret=True,
                title="People enrichment: details",
                description="The persons to ask for, when `from` is details.",
            ),
            th.Property("reveal_personal_emails", th.BooleanType),
            th.Property("reveal_phone_number", th.BooleanType),
            th.Property(
                "webhook_url",
                th.StringType(pattern=r"^https://[^\s]+" + _END),
                secret=True,
                title="People enrichment: webhook URL",
                description="Where Apollo sends phone numbers and results of waterfalls.",
            ),
            th.Property("run_waterfall_email", th.BooleanType),
            th.Property("run_waterfall_phone", th.BooleanType),
            th.Property("max_waterfall_credits", th.IntegerType(minimum=1)),
            additional_properties=False,
        ),
        secret=True,
        title="People enrichment",
        description=(
            "Whom people_enrichment asks for: `from` details, contacts or people (those that people_searches find); "
            "`details`, a list of persons; what to reveal, at 8 credits more for a phone number; `webhook_url`, which "
            "Apollo wants for phone numbers and waterfalls; `max_waterfall_credits`, the most that a waterfall may "
            "cost per person."
        ),
    ),
    th.Property(
        "news",
        th.ObjectType(
            th.Property("categories", th.ArrayType(th.StringType(min_length=1))),
            additional_properties=False,
        ),
        title="News",
        description="`categories` that news_articles is limited to, as Apollo names them.",
    ),
    additional_properties=False,
).to_dict()
