"""Which streams of tap-apollo go into one task where they are split over several: the one place that says it."""

from __future__ import annotations

import os

#: No two groups read the same list of Apollo's, so that none uses up the rate window of another. The first is large:
#: notes ask about contacts, accounts and deals, and streams that cost credits take contacts, accounts, people and
#: conversations. What costs credits is in one group, since a group counts what it spends in its own state. Whoever uses
#: neither can make several groups of it. One small list is read by every group: typed_custom_fields, a request each
#: time that Meltano discovers the catalog.
#:
#: A group's name is part of its state id. Rename a group, or move a stream to another, and it is read from the
#: beginning; what costs credits is bought again.
#:
#: The streams are written here by scripts/dag_groups.py, since this file has to run without the tap.
# make docs: groups
GROUPS = {
    "records": [
        "contact_stages",
        "contacts",
        "contact_details",
        "contact_deals",
        "account_stages",
        "accounts",
        "account_details",
        "deals",
        "deal_details",
        "deal_stages",
        "lists",
        "custom_fields",
        "notes",
        "contact_sequence_statuses",
        "contact_sequence_activity",
        "conversations",
        "conversation_details",
        "conversation_exports",
        "user_profile",
        "credit_usage_stats",
        "people",
        "organizations",
        "organization_details",
        "organization_job_postings",
        "news_articles",
        "person_details",
        "organization_enrichment",
        "people_enrichment",
        "enrichment_results",
    ],
    "emails": [
        "sequences",
        "email_schedules",
        "outreach_emails",
        "outreach_email_activities",
        "outreach_email_contents",
        "email_accounts",
    ],
    "activities": [
        "tasks",
        "task_details",
        "calls",
    ],
    "workspace": [
        "fields",
        "users",
        "api_usage_stats",
        "analytics_reports",
    ],
}

#: Streams that take a request per record, or per few: read only if the variable names them.
OPTIONAL = {
    "contact_details",
    "contact_deals",
    "account_details",
    "deal_details",
    "notes",
    "contact_sequence_activity",
    "outreach_email_activities",
    "outreach_email_contents",
    "task_details",
}
# end of groups


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
