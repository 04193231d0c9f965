"""Which streams of tap-apollo go into one task where they are split over several: the one place that says it."""

from __future__ import annotations

import os

#: No two groups read the same list of Apollo's, so that none uses up the rate window of another. The first is large:
#: notes ask about contacts, accounts and deals, and streams that cost credits take contacts, accounts, people and
#: conversations. Whoever uses neither can make several groups of it. One small list is read by every group:
#: typed_custom_fields, a request each time that Meltano discovers the catalog.
#:
#: A group's name is part of its state id. Rename a group, or move a stream to another, and it is read from the
#: beginning; what costs credits is bought again.
GROUPS = {
    "records": [
        "contacts",
        "contact_sequence_statuses",
        "contact_details",
        "contact_deals",
        "contact_sequence_activity",
        "contact_stages",
        "accounts",
        "account_details",
        "account_stages",
        "deals",
        "deal_details",
        "deal_stages",
        "notes",
        "lists",
        "custom_fields",
        "people",
        "conversations",
        "user_profile",
        # What costs credits is in one group, since a group counts what it spends in its own state.
        "organizations",
        "organization_details",
        "organization_job_postings",
        "news_articles",
        "organization_enrichment",
        "person_details",
        "people_enrichment",
        "conversation_details",
        "conversation_exports",
        "enrichment_results",
        "credit_usage_stats",
    ],
    "emails": [
        "outreach_emails",
        "outreach_email_activities",
        "outreach_email_contents",
        "sequences",
        "email_schedules",
        "email_accounts",
    ],
    "activities": [
        "tasks",
        "task_details",
        "calls",
    ],
    "workspace": [
        "users",
        "fields",
        "api_usage_stats",
        "analytics_reports",
    ],
}

#: Streams that take a request per record, or per few: read only if the variable names them.
OPTIONAL = {
    "contact_details",
    "contact_deals",
    "contact_sequence_activity",
    "account_details",
    "deal_details",
    "notes",
    "outreach_email_activities",
    "outreach_email_contents",
    "task_details",
}


def selection(group: str) -> list[str]:
    """Return what Meltano is to select for a group.

    Raises:
        ValueError: The variable names a stream that is not optional.
    """
    named = set(os.environ.get("APOLLO_OPTIONAL_STREAMS", "").replace(",", " ").split())
    if unknown := named - OPTIONAL:
        raise ValueError(
            f"APOLLO_OPTIONAL_STREAMS names {', '.join(sorted(unknown))}: it may name {', '.join(sorted(OPTIONAL))}.",
        )
    return [f"{stream}.*" for stream in GROUPS[group] if stream not in OPTIONAL or stream in named]
