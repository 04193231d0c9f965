"""The sandbox as an ASGI application: the whole API on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from apollo_sandbox.control import control_routes
from apollo_sandbox.endpoints import analytics, crm, database, engagement, workspace
from apollo_sandbox.pipeline import Endpoint, Pipeline

if TYPE_CHECKING:
    from apollo_sandbox.services import Services

PREFIXES = ("/api/v1", "/v1")
GET, POST, BOTH = ("GET",), ("POST",), ("GET", "POST")
EVERY_VERB = ("GET", "POST", "PUT", "PATCH", "DELETE")

# fmt: off
ENDPOINTS = tuple(Endpoint(*line) for line in (
    # The team's own records
    (POST, "contacts/search", "contacts/search", crm.contacts_search),
    (GET, "contacts/{id}", "contacts/show", crm.contacts_show),
    (POST, "contacts/{id}/opportunities", "contacts/opportunities", crm.contacts_opportunities),
    (POST, "accounts/search", "accounts/search", crm.accounts_search),
    (GET, "accounts/{id}", "accounts/show", crm.accounts_show),
    (GET, "opportunities/search", "opportunities/search", crm.opportunities_search),
    (GET, "opportunities/{id}", "opportunities/show", crm.opportunities_show),
    (BOTH, "tasks/search", "tasks/search", crm.tasks_search),
    (GET, "tasks/{id}", "tasks/show", crm.tasks_show),
    (GET, "notes", "notes/index", crm.notes_index),
    # How the team set Apollo up
    (GET, "contact_stages", "contact_stages/index", crm.contact_stages_index),
    (GET, "account_stages", "account_stages/index", crm.account_stages_index),
    (GET, "opportunity_stages", "opportunity_stages/index", crm.opportunity_stages_index),
    (GET, "labels", "labels/index", crm.labels_index),
    (GET, "fields", "fields/index", crm.fields_index),
    (GET, "typed_custom_fields", "typed_custom_fields/index", crm.typed_custom_fields_index),
    (GET, "emailer_schedules", "emailer_schedules/index", workspace.emailer_schedules_index),
    (GET, "email_accounts", "email_accounts/index", workspace.email_accounts_index),
    (GET, "users/search", "users/search", workspace.users_search),
    (GET, "users/api_profile", "users/api_profile", workspace.users_api_profile),
    (GET, "auth/health", "auth/health", workspace.auth_health),
    # Outreach
    (BOTH, "emailer_campaigns/search", "emailer_campaigns/search",
        engagement.emailer_campaigns_search),
    (POST, "emailer_campaigns/activity_feed", "emailer_campaigns/activity_feed",
        engagement.emailer_campaigns_activity_feed),
    (GET, "emailer_campaigns/{id}", "emailer_campaigns/show", engagement.emailer_campaigns_show),
    (BOTH, "emailer_messages/search", "emailer_messages/search",
        engagement.emailer_messages_search),
    (POST, "emailer_messages/get_content", "emailer_messages/get_content",
        engagement.emailer_messages_get_content),
    (GET, "emailer_messages/{id}/activities", "emailer_messages/activities",
        engagement.emailer_messages_activities),
    (GET, "phone_calls/search", "phone_calls/search", engagement.phone_calls_search),
    (POST, "conversations/search", "conversations/search", engagement.conversations_search),
    (POST, "conversations/export", "conversations/export", engagement.conversations_export),
    (GET, "conversations/export/{id}", "conversations/show_export",
        engagement.conversations_show_export),
    (GET, "conversations/{id}", "conversations/show", engagement.conversations_show),
    # Apollo's database, most of it for credits
    (POST, "mixed_people/api_search", "mixed_people/api_search", database.people_api_search),
    (POST, "mixed_people/search", "mixed_people/search", database.people_search_deprecated),
    (POST, "mixed_companies/search", "mixed_companies/search", database.companies_search),
    (POST, "people/match", "people/match", database.people_match),
    (POST, "people/bulk_match", "people/bulk_match", database.people_bulk_match),
    (GET, "people/{id}", "people/show", database.people_show),
    (GET, "organizations/enrich", "organizations/enrich", database.organizations_enrich),
    (POST, "organizations/bulk_enrich", "organizations/bulk_enrich",
        database.organizations_bulk_enrich),
    (GET, "organizations/{id}", "organizations/show", database.organizations_show),
    (GET, "organizations/{id}/job_postings", "organizations/job_postings",
        database.organizations_job_postings),
    (POST, "news_articles/search", "news_articles/search", database.news_articles_search),
    (GET, "webhook_result/{id}", "webhook_result/show", database.webhook_result_show),
    # Figures
    (POST, "usage_stats/api_usage_stats", "usage_stats/api_usage_stats",
        workspace.api_usage_stats),
    (POST, "usage_stats/credit_usage_stats", "usage_stats/credit_usage_stats",
        workspace.credit_usage_stats),
    (POST, "reports/sync_report", "reports/sync_report", analytics.sync_report),
))
# fmt: on


def create_app(services: Services) -> Starlette:
    """Serve the API under both of its prefixes, and the sandbox's own controls."""
    pipeline = Pipeline(services)
    routes = [
        Route(f"{prefix}/{endpoint.path}", pipeline.serve(endpoint), methods=list(endpoint.verbs))
        for prefix in PREFIXES
        for endpoint in ENDPOINTS
    ]
    routes += [Route(f"{prefix}/oauth/token", pipeline.serve_token, methods=["POST"]) for prefix in PREFIXES]
    routes += control_routes(services)
    routes.append(Route("/{path:path}", pipeline.serve_unknown, methods=list(EVERY_VERB)))
    return Starlette(routes=routes)
