"""The index of the streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_apollo.streams.accounts import AccountDetails, Accounts, AccountStages
from tap_apollo.streams.analytics import AnalyticsReports
from tap_apollo.streams.base import PagedStream
from tap_apollo.streams.contacts import (
    ContactDeals,
    ContactDetails,
    Contacts,
    ContactSequenceActivity,
    ContactSequenceStatuses,
    ContactStages,
)
from tap_apollo.streams.conversations import ConversationDetails, ConversationExports, Conversations
from tap_apollo.streams.credit import CreditStream
from tap_apollo.streams.deals import DealDetails, Deals, DealStages
from tap_apollo.streams.engagement import (
    Calls,
    EmailSchedules,
    OutreachEmailActivities,
    OutreachEmailContents,
    OutreachEmails,
    Sequences,
    TaskDetails,
    Tasks,
)
from tap_apollo.streams.enrichment import EnrichmentResults, OrganizationEnrichment, PeopleEnrichment
from tap_apollo.streams.notes import Notes
from tap_apollo.streams.per_record import PerRecordStream
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

if TYPE_CHECKING:
    from tap_apollo.singer.stream import ApolloStream

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
