"""What a team does to reach people: sequences, e-mails, tasks, calls, conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.base import ListStream, cut_by
from tap_apollo.streams.per_record import PerRecordStream
from tap_apollo.streams.windowed import WindowedStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk.helpers.types import Record

    from tap_apollo.paging import DateWindow
    from tap_apollo.streams.base import ResumableStream


class Sequences(ListStream):
    """Sequences, which the API calls emailer campaigns, with their statistics."""

    name = "sequences"
    endpoint = POST(
        "emailer_campaigns/search",
        paged=by_number,
        rows="emailer_campaigns",
        scope="api/v1/emailer_campaigns/search",
        oauth="emailer_campaigns_search",
    )


class EmailSchedules(ApolloStream):
    """The hours in which sequences may send."""

    name = "email_schedules"
    endpoint = GET(
        "emailer_schedules",
        rows="emailer_schedules",
        scope="api/v1/emailer_schedules/index",
        oauth="emailer_schedules_list",
    )


class OutreachEmails(WindowedStream):
    """E-mails of sequences and single ones, by the day they are due; the reply reports no total."""

    name = "outreach_emails"
    endpoint = GET(
        "emailer_messages/search",
        paged=by_number,
        rows="emailer_messages",
        scope="api/v1/emailer_messages/search",
        oauth="emailer_messages_search",
    )
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
        return cut_by("emailer_campaign_ids", self.lookup(Sequences))


class OutreachEmailActivities(PerRecordStream):
    """What became of each e-mail; opens and clicks do not show in the list of e-mails."""

    name = "outreach_email_activities"
    endpoint = GET("emailer_messages/{id}/activities", rows="activities", scope=None, oauth=None)
    parents = (OutreachEmails,)

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        rows = []
        for activity in self.read_records(self.about(records[0])):
            email = activity.get("emailer_message") or {}
            counts = {name: email.get(name) for name in ("num_opens", "num_clicks", "emailer_message_events")}
            rows.append({"emailer_message_id": records[0]["id"], **activity, **counts})
        return rows


class OutreachEmailContents(PerRecordStream):
    """The text of each e-mail that was sent, which does not change: asked for once, ten at a time."""

    name = "outreach_email_contents"
    endpoint = POST(
        "emailer_messages/get_content",
        rows="emailer_messages",
        scope="api/v1/emailer_messages/get_content",
        oauth="emailer_messages_get_content",
    )
    parents = (OutreachEmails,)
    batch = 10

    @override
    def asks_about(self, record: Record) -> bool:
        return record.get("status") == "completed"

    @override
    def key(self, record: Record, parent: ResumableStream) -> str:
        return cast("str", record["id"])

    @override
    def remembers_all_of(self, parent: ResumableStream) -> bool:
        return True

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        return self.read_records(self.ask({"ids": [record["id"] for record in records]}))


class Tasks(ListStream):
    """Tasks, each with a copy of its contact."""

    name = "tasks"
    endpoint = POST("tasks/search", paged=by_number, rows="tasks", scope="api/v1/tasks/search", oauth="tasks_list")


class TaskDetails(PerRecordStream):
    """Tasks as their own endpoint shows them."""

    name = "task_details"
    endpoint = GET("tasks/{id}", rows="task", scope="api/v1/tasks/show", oauth="tasks_list")
    parents = (Tasks,)


class Calls(WindowedStream):
    """Phone calls, by the day they began."""

    name = "calls"
    endpoint = GET("phone_calls/search", paged=by_number, rows="phone_calls", scope=None, oauth="phone_call_search")
    replication_key = "start_time"

    @override
    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        return {"date_range": {"min": f"{window.first}", "max": f"{window.last}"}}
