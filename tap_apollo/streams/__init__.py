"""The index of the streams."""

from __future__ import annotations

from tap_apollo.client import ApolloStream, PagedStream
from tap_apollo.streams.accounts import Accounts, AccountStages
from tap_apollo.streams.analytics import AnalyticsReports
from tap_apollo.streams.contacts import Contacts, ContactSequenceStatuses, ContactStages
from tap_apollo.streams.conversations import ConversationDetails, ConversationExports
from tap_apollo.streams.credit import CreditStream
from tap_apollo.streams.deals import Deals, DealStages
from tap_apollo.streams.engagement import (
    Calls,
    Conversations,
    EmailSchedules,
    OutreachEmails,
    Sequences,
    Tasks,
)
from tap_apollo.streams.enrichment import EnrichmentResults, OrganizationEnrichment, PeopleEnrichment
from tap_apollo.streams.per_record import (
    AccountDetails,
    ContactDeals,
    ContactDetails,
    ContactSequenceActivity,
    DealDetails,
    Notes,
    OutreachEmailActivities,
    OutreachEmailContents,
    PerRecordStream,
    TaskDetails,
)
from tap_apollo.streams.prospecting import (
    NewsArticles,
    OrganizationDetails,
    OrganizationJobPostings,
    Organizations,
    People,
    PersonDetails,
)
from tap_apollo.streams.workspace import (
    ApiUsageStats,
    CreditUsageStats,
    CustomFields,
    EmailAccounts,
    Fields,
    Lists,
    UserProfile,
    Users,
)

#: Every stream by its name.
STREAMS: dict[str, type[ApolloStream]] = {
    stream.name: stream
    for stream in (
        Contacts,
        ContactSequenceStatuses,
        ContactDetails,
        ContactDeals,
        ContactSequenceActivity,
        ContactStages,
        Accounts,
        AccountDetails,
        AccountStages,
        Deals,
        DealDetails,
        DealStages,
        Lists,
        Fields,
        CustomFields,
        Notes,
        Sequences,
        EmailSchedules,
        OutreachEmails,
        OutreachEmailActivities,
        OutreachEmailContents,
        Tasks,
        TaskDetails,
        Calls,
        Conversations,
        Users,
        UserProfile,
        EmailAccounts,
        ApiUsageStats,
        CreditUsageStats,
        AnalyticsReports,
        People,
        Organizations,
        OrganizationDetails,
        OrganizationJobPostings,
        NewsArticles,
        OrganizationEnrichment,
        PersonDetails,
        PeopleEnrichment,
        EnrichmentResults,
        ConversationDetails,
        ConversationExports,
    )
}

#: The streams that cost credits, which exist only if `credit_streams` names them.
CREDIT_STREAMS: dict[str, type[CreditStream]] = {
    name: stream for name, stream in STREAMS.items() if issubclass(stream, CreditStream)
}

#: Names of the streams that the setting `max_pages` may limit: in their pages, or in their requests.
PAGED = tuple(
    name for name, stream in STREAMS.items() if issubclass(stream, (PagedStream, CreditStream, PerRecordStream))
)
