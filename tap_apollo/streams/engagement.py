"""What a team does to reach people: sequences, e-mails, tasks, calls, conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.client import ApolloStream
from tap_apollo.paging import PER_PAGE
from tap_apollo.streams.base import ListStream, WindowedStream, cut_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_apollo.paging import DateWindow


class Sequences(ListStream):
    """Sequences, which the API calls emailer campaigns, with their statistics."""

    name = "sequences"
    path = "/emailer_campaigns/search"
    http_method = "POST"
    scope = "api/v1/emailer_campaigns/search"
    oauth_scope = "emailer_campaigns_search"
    records_key = "emailer_campaigns"


class EmailSchedules(ApolloStream):
    """The hours in which sequences may send."""

    name = "email_schedules"
    path = "/emailer_schedules"
    scope = "api/v1/emailer_schedules/index"
    oauth_scope = "emailer_schedules_list"
    records_key = "emailer_schedules"


class OutreachEmails(WindowedStream):
    """E-mails of sequences and single ones, by the day they are due; the reply reports no total."""

    name = "outreach_emails"
    path = "/emailer_messages/search"
    scope = "api/v1/emailer_messages/search"
    oauth_scope = "emailer_messages_search"
    records_key = "emailer_messages"
    replication_key = "due_at"
    days_ahead = 366  # e-mails are scheduled ahead

    @override
    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        return {
            "emailer_message_date_range_mode": "due_at",
            "emailer_message_date_range": {"min": f"{window.first}", "max": f"{window.last}"},
        }

    @override
    def slices(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return cut_by("emailer_campaign_ids", self._tap.lookup("sequences"))


class Tasks(ListStream):
    """Tasks, each with a copy of its contact."""

    name = "tasks"
    path = "/tasks/search"
    http_method = "POST"
    scope = "api/v1/tasks/search"
    oauth_scope = "tasks_list"
    records_key = "tasks"


class Calls(WindowedStream):
    """Phone calls, by the day they began."""

    name = "calls"
    path = "/phone_calls/search"
    scope = None
    oauth_scope = "phone_call_search"
    records_key = "phone_calls"
    replication_key = "start_time"

    @override
    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        return {"date_range": {"min": f"{window.first}", "max": f"{window.last}"}}


class Conversations(WindowedStream):
    """Recorded calls and meetings, by the moment they began; what was said in them is charged and not read here."""

    name = "conversations"
    path = "/conversations/search"
    http_method = "POST"
    scope = "api/v1/conversations/search"
    oauth_scope = "conversations_search"
    records_key = "conversations"
    parameters = {"num_fetch_result": PER_PAGE}  # the documented page size here; the others' `per_page` goes too
    replication_key = "start_time"

    @override
    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        return {"date_range": {"start": f"{window.first}T00:00:00Z", "end": f"{window.last}T23:59:59Z"}}
