"""The settings: their JSON Schema, once."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

DEFAULT_API_URL = "https://api.apollo.io/api/v1"

#: A credential goes into a header: visible ASCII. Anything else is a pasted line break or a masked key.
_CREDENTIAL = r"^[\x21-\x7e]+$"

#: Ids of Apollo's database.
_ID = r"^[0-9a-f]{24}$"

_DOMAIN = r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"

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
            "`labels` fills `custom_fields` of contacts, accounts and deals with each custom field by its label, "
            "typed, option ids resolved to names; `raw` leaves only Apollo's map, `typed_custom_fields`."
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
        description="Most credits that all syncs may spend in one of Apollo's billing cycles, counted in the state.",
    ),
    th.Property(
        "credit_reserve",
        th.IntegerType(minimum=0),
        default=0,
        title="Credit reserve",
        description="Credits of the team's balance that are not to be touched.",
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
            ),
            th.Property("reveal_personal_emails", th.BooleanType),
            th.Property("reveal_phone_number", th.BooleanType),
            th.Property("webhook_url", th.StringType(pattern=r"^https://[^\s]+$"), secret=True),
            th.Property("run_waterfall_email", th.BooleanType),
            th.Property("run_waterfall_phone", th.BooleanType),
            th.Property("max_waterfall_credits", th.IntegerType(minimum=1)),
            additional_properties=False,
        ),
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
