"""The index of the streams."""

from __future__ import annotations

from tap_apollo.client import ApolloStream, PagedStream
from tap_apollo.streams.accounts import Accounts, AccountStages
from tap_apollo.streams.contacts import Contacts, ContactSequenceStatuses, ContactStages
from tap_apollo.streams.deals import Deals, DealStages
from tap_apollo.streams.engagement import (
    Calls,
    Conversations,
    EmailSchedules,
    OutreachEmails,
    Sequences,
    Tasks,
)
from tap_apollo.streams.prospecting import People
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
        ContactStages,
        Accounts,
        AccountStages,
        Deals,
        DealStages,
        Lists,
        Fields,
        CustomFields,
        Sequences,
        EmailSchedules,
        OutreachEmails,
        Tasks,
        Calls,
        Conversations,
        Users,
        UserProfile,
        EmailAccounts,
        ApiUsageStats,
        CreditUsageStats,
        People,
    )
}

#: Names of the streams that read pages, which the setting `max_pages` may limit.
PAGED = tuple(name for name, stream in STREAMS.items() if issubclass(stream, PagedStream))
