"""Streams that ask about each record of another stream, a request each: deselected unless the catalog selects them.

Such a stream reads its parent with a walk of its own, down to where its own last run had come, and without writing
what it reads. So it may be selected alone, or later than its parent, and neither disturbs the other.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime
import math
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.exceptions import RetriableAPIError
from typing_extensions import override

from tap_apollo.client import UNKNOWN_FORM, ApolloStream
from tap_apollo.errors import GoneError, RedirectError, RequestError
from tap_apollo.paging import PER_PAGE, Listing, ListWalk, digest
from tap_apollo.reading import Outlook, Reading
from tap_apollo.records import is_bookmark, timestamp
from tap_apollo.streams.accounts import Accounts
from tap_apollo.streams.base import WALK, CustomFieldsMixin
from tap_apollo.streams.contacts import Contacts
from tap_apollo.streams.deals import DealMixin, Deals
from tap_apollo.streams.engagement import OutreachEmails, Tasks

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import Page, PageRequest, Walk
    from tap_apollo.reading import Exchange
    from tap_apollo.streams.base import ResumableStream

#: Where a stream's state holds its place in each parent, and there, what was asked about.
PARENTS, ASKED = "parents", "asked"

#: What a walk leaves at its place in the state.
_PLACE = (WALK, "replication_key", "replication_key_value")

#: Requests after which a STATE comes although the page of parents is not done.
STATE_EVERY = 10

#: Records in a row that cannot be read, until the stream fails.
MOST_FAILURES = 5


class Asked:
    """What of a parent's records was asked about, by keys that change with a record; in the state it is up to date.

    While a walk of the parent is not at its end, that is all since it began: the runs that it takes meet its first
    records again and again. ``since`` is when a walk first came to its end, and is not there before.
    """

    def __init__(self, parent: ResumableStream) -> None:
        """Take up what an earlier run left at the parent's place, unless it is none of that or too old."""
        keys, since = list[str](), None
        try:
            state = parent.place[ASKED]
            since = state.get("since")
            if since and parent.refresh_is_due(datetime.datetime.fromisoformat(since)):
                since = None
            else:
                keys = [key for key in state["keys"] if isinstance(key, str)]
        except (AttributeError, KeyError, TypeError, ValueError):
            since = None
        self._known = {*keys}
        self._state: dict[str, Any] = {"keys": keys}
        if since:
            self._state["since"] = since
        parent.place[ASKED] = self._state

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        """Whether it was asked about."""
        return key in self._known

    def add(self, keys: Iterable[str]) -> None:
        """Note what was asked about, and is written."""
        new = [key for key in keys if key not in self._known]
        self._known.update(new)
        self._state["keys"] += new

    def ended(self, started: datetime.datetime, keep: Container[str] | None) -> None:
        """Note that a walk came to its end: what it may not come to again need not be kept.

        Args:
            started: When the run began.
            keep: What to keep; None: everything.
        """
        if keep is not None:
            self._state["keys"] = [key for key in self._state["keys"] if key in keep]
            self._known = {*self._state["keys"]}
        self._state.setdefault("since", started.isoformat(timespec="seconds"))


class PerRecordStream(ApolloStream):
    """A stream that asks about the records of others.

    What belongs to one record, or to a batch of them, is asked for whole: if that takes several requests, a run passes
    ``max_pages`` by them.

    Attributes:
        parents: The streams whose records it asks about.
        batch: Most records to ask about in one request.
    """

    selected_by_default = False
    state_partitioning_keys = ()

    parents: ClassVar[tuple[type[ResumableStream], ...]]
    batch: ClassVar[int] = 1

    _requests = 0
    _gone = 0
    _failed = 0
    _failed_in_a_row = 0
    _limited = False

    def asks_about(self, record: Record) -> bool:  # noqa: ARG002
        """Return whether Apollo can have anything about a record."""
        return True

    def key(self, record: Record, parent: ResumableStream) -> str:
        """Return what a record is remembered by: by default it is asked about again once it has changed."""
        return digest(parent.shape(record))

    def remembers_all_of(self, parent: ResumableStream) -> bool:
        """Return whether to remember what was asked about: if the parent gives again what has not changed."""
        return not parent.tells_changes

    def batch_of(self, parent: ResumableStream) -> int:  # noqa: ARG002
        """Return how many records of a parent a request may ask about."""
        return self.batch

    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:  # noqa: ARG002
        """Ask about records, as many as a request may be for, and return the rows: by default the one in the reply.

        Raises:
            GoneError: The record is not there any more; other errors as those of ``ask``.
        """
        return [self.about(records[0])[cast("str", self.records_key)]]

    def about(self, record: Record) -> Any:  # noqa: ANN401
        """Return the reply to a request that has the record's id in its path."""
        return self.ask(self.parameters, self.path.format(id=record["id"]))

    @override
    def exchange(self, parameters: Mapping[str, Any], path: str | None = None) -> Exchange:
        self._requests += 1
        return super().exchange(parameters, path)

    # The run

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        if self._tap.report.fatal is not None:
            return
        began, delivered = time.monotonic(), 0
        with self.reporting(), self.get_http_request_counter() as requests_sent:
            try:
                for parent in self._parents():
                    for rows in self._rows_for(parent):
                        for row in rows:
                            yield self.shaped(row, context)
                            delivered += 1
                    if self._limited:
                        break
            finally:
                requests_sent.increment(self._requests)
        self._sum_up_records(delivered, time.monotonic() - began)

    def _rows_for(self, parent: ResumableStream) -> Iterator[list[Record]]:
        """Yield the rows about a parent's records; whoever asks for the next has written those before.

        If some could not be read, the next run reads the parent from where this one began: it knows the others.
        """
        place = {name: copy.deepcopy(parent.place[name]) for name in _PLACE if name in parent.place}
        failed = self._failed
        try:
            yield from self._rows_of_one_walk(parent)
        finally:
            if self._failed > failed:
                for name in _PLACE:
                    parent.place.pop(name, None)
                parent.place.update(place)

    def _rows_of_one_walk(self, parent: ResumableStream) -> Iterator[list[Record]]:
        asked, walk = Asked(parent), parent.new_walk(None)
        reading, keep = self._reading_of(parent, walk), dict[str, None]()
        comes_again, covered_by_state, failed = isinstance(walk, ListWalk), self._requests, self._failed
        for records in reading:
            wanted = {self.key(record, parent): record for record in records if self.asks_about(record)}
            if comes_again or self.remembers_all_of(parent):
                keep.update(dict.fromkeys(wanted))
            comes_again = comes_again and not _reaches_covered_ground(cast("ListWalk", walk), records)
            todo = [key for key in wanted if key not in asked]
            while todo:
                self._limited = self.max_pages is not None and self._requests >= self.max_pages
                if self._limited or (self._tap.trial and self._requests):
                    return
                # What is remembered makes a STATE long: then fewer of them.
                if self._requests - covered_by_state >= max(STATE_EVERY, len(asked) // 50):
                    self._tap.state_writer.write_state(self.tap_state)
                    covered_by_state = self._requests
                keys, todo = todo[: self.batch_of(parent)], todo[self.batch_of(parent) :]
                failed_before = self._failed
                yield self._rows([wanted[key] for key in keys], parent)
                if self._failed == failed_before:
                    asked.add(keys)
            parent.page_delivered(records)
            covered_by_state = self._requests
        if reading.outcome:
            if reading.outcome.shortfall:
                self._tap.report.incomplete(self.name, f"{parent.name}: {reading.outcome.shortfall}")
            if self._failed > failed:
                return
            parent.remember(walk, reading.outcome)
            in_part = parent.resumed and self.remembers_all_of(parent)
            asked.ended(parent.started, None if in_part else keep)
            self._tap.state_writer.write_state(self.tap_state)

    def _reading_of(self, parent: ResumableStream, walk: Walk) -> Reading:
        def fetch(request: PageRequest) -> Page:
            with parent.needed():
                return parent.fetch(request)

        return Reading(walk, fetch, parent.page_limit(None))

    def _parents(self) -> Iterator[ResumableStream]:
        """Yield the parents, each an object of this stream's own, whose place is in this stream's state."""
        places = self.stream_state.setdefault(PARENTS, {})
        if not isinstance(places, dict):
            places = self.stream_state[PARENTS] = {}
        for parent_type in self.parents:
            parent = parent_type(self._tap)
            parent.priority = self.priority
            place = places.setdefault(parent.name, {})
            if not isinstance(place, dict) or not is_bookmark(place.get("replication_key_value")):
                places[parent.name] = {}
                self.logger.warning("%s: the state of %s cannot be used; asking anew.", self.name, parent.name)
            parent.borrow(places[parent.name], self.full_refresh_days)
            yield parent

    def _rows(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        """Return the rows about some records; those that have vanished, or cannot be read, are counted.

        Raises:
            RequestError, RetriableAPIError: Several in a row cannot be read; other errors as those of ``ask``.
        """
        try:
            rows = self.rows_about(records, parent)
        except RedirectError:
            raise
        except (RequestError, RetriableAPIError, *UNKNOWN_FORM) as error:
            if len(records) > 1:
                return [row for record in records for row in self._rows([record], parent)]
            if isinstance(error, GoneError):
                self._gone += 1
                return []
            self._failed += 1
            self._failed_in_a_row += 1
            if self._failed_in_a_row == MOST_FAILURES:  # it is not the records
                raise
            return []
        self._failed_in_a_row = 0
        return rows

    @property
    def _parent_names(self) -> str:
        return " and ".join(cast("Any", parent).name for parent in self.parents)

    def _sum_up_records(self, delivered: int, seconds: float) -> None:
        names = self._parent_names
        if self._failed and self._failed_in_a_row < MOST_FAILURES:  # else that was said
            text = f"{self._failed:,} of {names} could not be asked about; the next run asks again."
            self._tap.report.failed(self.name, text)
        if self._gone:
            self.logger.warning("%s: %s of %s are not there any more.", self.name, f"{self._gone:,}", names)
        if self._limited:
            text = "%s stopped at `max_pages.%s` (%s); the next run goes on."
            self.logger.warning(text, self.name, self.name, f"{self.max_pages:,}")
        text = "%s: %s records about %s, %s requests, %.0f s"
        self.logger.info(text, self.name, f"{delivered:,}", names, f"{self._requests:,}", seconds)

    # The plan

    @override
    def outlook(self) -> Outlook:
        """Ask what each parent has to come, and, to see whether that is allowed, about one record."""
        wanted = pages = known = 0
        at_least = tried = False
        for parent in self._parents():
            with parent.needed():
                look = parent.outlook()
                first = dataclasses.replace(next(parent.new_walk(None).pages()), per_page=1)
                some = [] if tried else parent.fetch(first).records[:1]
            if some:
                tried = True
                with contextlib.suppress(GoneError):
                    self.rows_about(some, parent)
            known += math.ceil(len(Asked(parent)) / self.batch_of(parent)) if self.remembers_all_of(parent) else 0
            wanted += math.ceil((look.records or 0) / self.batch_of(parent))
            pages, at_least = pages + look.requests, at_least or look.at_least
        if known:
            wanted, at_least = max(0, wanted - known), True
        note = f"with {pages:,} to read {self._parent_names}"
        limit = self.max_pages
        if limit is not None and wanted > limit:
            return Outlook(None, limit + pages, note=f"`max_pages` allows {limit:,} of {wanted:,} requests; {note}")
        return Outlook(None, wanted + pages, at_least=at_least, note=note)


def _reaches_covered_ground(walk: ListWalk, records: list[Record]) -> bool:
    """Whether a page goes down to where a later walk would stop."""
    return walk.mark is not None and walk.mark.reached(records)


class ContactDetails(CustomFieldsMixin, PerRecordStream):
    """Contacts as their own endpoint shows them."""

    name = "contact_details"
    path = "/contacts/{id}"
    scope = "api/v1/contacts/show"
    oauth_scope = "contact_read"
    records_key = "contact"
    modality = "contact"
    parents = (Contacts,)


class ContactDeals(DealMixin, PerRecordStream):
    """The deals that each contact has a part in, with that part."""

    name = "contact_deals"
    path = "/contacts/{id}/opportunities"
    http_method = "POST"
    scope = "deals/api/v1/opportunities/search"
    oauth_scope = None  # measured by others; the vendor's reference names opportunities_list
    records_key = "opportunities"
    primary_keys = ("contact_id", "id")
    parents = (Contacts,)

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        return [{**deal, "contact_id": records[0]["id"]} for deal in self.read_records(self.about(records[0]))]


class ContactSequenceActivity(PerRecordStream):
    """What happened to contacts in sequences, of which Apollo shows the latest 50 events at once."""

    name = "contact_sequence_activity"
    path = "/emailer_campaigns/activity_feed"
    http_method = "POST"
    scope = "api/v1/emailer_campaigns/activity_feed"
    oauth_scope = "emailer_campaigns_activity_feed"
    records_key = "events"
    primary_keys = ("contact_id", "type", "occurred_at", "sequence_id", "emailer_message_id")
    parents = (Contacts,)

    most_events: ClassVar[int] = 50

    _cut = 0

    @override
    def asks_about(self, record: Record) -> bool:
        return bool(record.get("contact_campaign_statuses"))

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        """Ask for a contact's events, and where that may not be all, sequence by sequence."""
        contact = records[0]
        events = self._events(contact["id"])
        if len(events) == self.most_events:
            sequences = (one["emailer_campaign_id"] for one in filter(None, contact["contact_campaign_statuses"]))
            for sequence_id in dict.fromkeys(sequences):
                more = self._events(contact["id"], sequence_id=sequence_id)
                self._cut += len(more) == self.most_events
                events += more
        rows = ({"contact_id": contact["id"], **event, **_filled(event)} for event in events)
        return [*{tuple(row.get(name) for name in self.primary_keys): row for row in rows}.values()]

    def _events(self, contact_id: str, **filters: str) -> list[Record]:
        return self.read_records(self.ask({"contact_id": contact_id, "per_page": self.most_events, **filters}))

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        yield from super().get_records(context)
        if self._cut:
            text = f"{self._cut:,} times there were more than the {self.most_events} events that Apollo shows"
            self._tap.report.incomplete(self.name, text)


def _filled(event: Record) -> Record:
    """Return what of an event's key may be absent or null."""
    return {name: event.get(name) or "" for name in ("sequence_id", "emailer_message_id")}


class AccountDetails(CustomFieldsMixin, PerRecordStream):
    """Accounts as their own endpoint shows them."""

    name = "account_details"
    path = "/accounts/{id}"
    scope = "api/v1/accounts/show"
    oauth_scope = "account_read"
    records_key = "account"
    modality = "account"
    parents = (Accounts,)


class DealDetails(DealMixin, PerRecordStream):
    """Deals as their own endpoint shows them."""

    name = "deal_details"
    path = "/opportunities/{id}"
    scope = "deals/api/v1/opportunities/show"
    oauth_scope = "opportunity_read"
    records_key = "opportunity"
    parents = (Deals,)


class TaskDetails(PerRecordStream):
    """Tasks as their own endpoint shows them."""

    name = "task_details"
    path = "/tasks/{id}"
    scope = "api/v1/tasks/show"
    oauth_scope = "tasks_list"
    records_key = "task"
    parents = (Tasks,)


class Notes(PerRecordStream):
    """The notes on contacts, asked for by the hundred, and on accounts and deals, which can be asked for one by one."""

    name = "notes"
    path = "/notes"
    scope = "meetings/api/v1/notes/index"
    oauth_scope = "notes_list"
    records_key = "notes"
    replication_key = "updated_at"
    parents = (Contacts, Accounts, Deals)

    _of: ClassVar[dict[str, str]] = {
        Contacts.name: "contact_ids",
        Accounts.name: "account_id",
        Deals.name: "opportunity_id",
    }

    @override
    def batch_of(self, parent: ResumableStream) -> int:
        return PER_PAGE if self._of[parent.name].endswith("s") else 1

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        """Read the list of notes on some records, which comes without a total."""
        ids = [record["id"] for record in records]
        name = self._of[parent.name]
        walk = ListWalk(Listing({name: ids if name.endswith("s") else ids[0]}))
        return [note for notes in Reading(walk, self.fetch) for note in notes]

    @override
    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        since = self.config.get("start_date")
        created = {"start_date": timestamp(since)[:10]} if since else {}
        page = {"skip": request.first, "limit": request.per_page}
        # Oldest first: what is written meanwhile comes last, and moves nothing.
        return {**request.parameters, **created, **page, "sort_by_field": "created_at", "sort_direction": "asc"}

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream, and keep the moment of the last change as the bookmark."""
        latest = self.stream_state.get("replication_key_value") or ""
        for row in super().get_records(context):
            latest = max(latest, row["updated_at"] or "")
            yield row
        if latest:
            self.stream_state.update(replication_key=self.replication_key, replication_key_value=latest)


class OutreachEmailActivities(PerRecordStream):
    """What became of each e-mail; opens and clicks do not show in the list of e-mails."""

    name = "outreach_email_activities"
    path = "/emailer_messages/{id}/activities"
    scope = None
    oauth_scope = None
    records_key = "activities"
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
    path = "/emailer_messages/get_content"
    http_method = "POST"
    scope = "api/v1/emailer_messages/get_content"
    oauth_scope = "emailer_messages_get_content"
    records_key = "emailer_messages"
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
