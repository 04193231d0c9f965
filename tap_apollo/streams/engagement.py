"""What a team does to reach people: e-mails, tasks, calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.readers.lists import Cut, Unordered
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.readers.windows import Windows
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.sequences import Sequences

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_apollo.paging import DateWindow
    from tap_apollo.readers.io import StreamIO


def due_within(window: DateWindow) -> dict[str, Any]:
    """Return the filters for e-mails that are due on some days."""
    return {
        "emailer_message_date_range_mode": "due_at",
        "emailer_message_date_range": {"min": f"{window.first}", "max": f"{window.last}"},
    }


class OutreachEmails(ApolloStream):
    """E-mails of sequences and single ones, by the day they are due; the reply reports no total."""

    name = "outreach_emails"
    endpoint = GET("emailer_messages/search", rows="emailer_messages", paged=by_number, oauth="emailer_messages_search")
    replication_key = "due_at"
    reads = Windows(due_within, days_ahead=366, slices=Cut("emailer_campaign_ids", Sequences))  # they are scheduled


def activities_of(io: StreamIO, emails: list[Record], _: StreamIO) -> list[Record]:
    """Ask what became of an e-mail."""
    rows = []
    reply = io.ask(record_id=emails[0]["id"])
    with io.endpoint.parsing():
        for activity in io.endpoint.records(reply):
            email = activity.get("emailer_message")
            counts = {
                name: email.get(name) if isinstance(email, dict) else None
                for name in ("num_opens", "num_clicks", "emailer_message_events")
            }
            rows.append({"emailer_message_id": emails[0]["id"], **activity, **counts})
    return rows


class OutreachEmailActivities(ApolloStream):
    """What became of each e-mail; opens and clicks do not show in the list of e-mails."""

    name = "outreach_email_activities"
    endpoint = GET(
        "emailer_messages/{id}/activities",
        rows="activities",
        scope=None,
        oauth=None,
        gone={422: ("could not find message",)},
    )
    reads = PerRecord(OutreachEmails, ask=activities_of)


def was_sent(email: Record) -> bool:
    """Whether an e-mail was sent."""
    return email.get("status") == "completed"


def contents_of(io: StreamIO, emails: list[Record], _: StreamIO) -> list[Record]:
    """Ask for the text of some e-mails."""
    return io.endpoint.records(io.ask({"ids": [email["id"] for email in emails]}))


class OutreachEmailContents(ApolloStream):
    """The text of each e-mail that was sent, which does not change: asked for once, ten at a time."""

    name = "outreach_email_contents"
    endpoint = POST("emailer_messages/get_content", rows="emailer_messages", oauth="emailer_messages_get_content")
    reads = PerRecord(OutreachEmails, ask=contents_of, about=was_sent, batches={OutreachEmails: 10}, once=True)


class Tasks(ApolloStream):
    """Tasks, each with a copy of its contact."""

    name = "tasks"
    endpoint = POST("tasks/search", rows="tasks", paged=by_number, oauth="tasks_list")
    reads = Unordered()


class TaskDetails(ApolloStream):
    """Tasks as their own endpoint shows them."""

    name = "task_details"
    endpoint = GET("tasks/{id}", rows="task", oauth="tasks_list", gone={422: ("has been deleted",)})
    reads = PerRecord(Tasks)


def begun_within(window: DateWindow) -> dict[str, Any]:
    """Return the filters for calls that began on some days."""
    return {"date_range": {"min": f"{window.first}", "max": f"{window.last}"}}


class Calls(ApolloStream):
    """Phone calls, by the day they began."""

    name = "calls"
    endpoint = GET("phone_calls/search", rows="phone_calls", paged=by_number, scope=None, oauth="phone_call_search")
    replication_key = "start_time"
    reads = Windows(begun_within)
