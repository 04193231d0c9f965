"""How the team came to have the data it starts with."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING

from apollo_sandbox.clock import DAY, HOUR, MINUTE, SECOND
from apollo_sandbox.entities import (
    Account,
    Contact,
    Conversation,
    Deal,
    Enrollment,
    OutreachEmail,
    PhoneCall,
    Sequence,
    Task,
    User,
)
from apollo_sandbox.ids import Dice, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apollo_sandbox.world import World

_TEAM_DOMAIN = "harborline.test"
_USER_TITLES = ("Account Executive", "Sales Development", "Sales Manager", "Revenue Operations")
_SEQUENCE_THEMES = ("Welcome", "Reactivation", "Trade fair", "Referral", "Pilot offer", "Renewal")
_ENROLLMENT_STATUSES = ("active",) * 9 + ("finished",) * 7 + ("paused",) * 3 + ("failed",)
_ENROLLED = 0.2
_SENT_OK = 0.93


class Genesis:
    """Fills an empty world. Every stage draws from dice of its own, so none disturbs another."""

    def __init__(self, world: World) -> None:
        """Prepare to fill this world."""
        self._world = world
        self._ids = world.ids
        self._sizes = world.sizes
        self._users: list[User] = []
        self._sequences: list[Sequence] = []
        self.accounts: list[Account] = []
        self.contacts: list[Contact] = []
        self._deals: list[Deal] = []

    def run(self) -> None:
        """Fill the world."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._hire_users()
            self._write_sequences()
            self._save_accounts()
            self._save_contacts()
            self._open_deals()
            self._send_emails()
            self._set_tasks()
            self._make_calls()
            self._record_conversations()
        finally:
            if collecting:
                gc.enable()

    def _hire_users(self) -> None:
        words = self._world.words
        dice = self._ids.dice(Kind.USER, 0)
        for serial in range(self._sizes.users):
            created = self._world.founded + serial * DAY
            first, last = dice.pick(words.first_names), dice.pick(words.last_names)
            self._users.append(
                User(
                    id=self._ids.make(Kind.USER, serial, created),
                    serial=serial,
                    created=created,
                    first_name=first,
                    last_name=last,
                    title=_USER_TITLES[serial % len(_USER_TITLES)],
                    email=f"{first}.{last}{serial}@{_TEAM_DOMAIN}".lower().replace(" ", ""),
                    deleted=serial > 1 and dice.chance(0.1),
                )
            )
        self._world.users.load(self._users)

    def _write_sequences(self) -> None:
        dice = self._ids.dice(Kind.SEQUENCE, 0)
        for serial in range(self._sizes.sequences):
            created = self._past(dice)
            archived = dice.chance(0.15)
            self._sequences.append(
                Sequence(
                    id=self._ids.make(Kind.SEQUENCE, serial, created),
                    serial=serial,
                    created=created,
                    name=f"{dice.pick(_SEQUENCE_THEMES)} {serial + 1}",
                    owner=dice.pick(self._users),
                    steps=dice.whole(2, 5),
                    active=not archived and dice.chance(0.8),
                    archived=archived,
                )
            )
        self._world.sequences.load(self._sequences)

    def _save_accounts(self) -> None:
        dice = self._ids.dice(Kind.ACCOUNT, 0)
        labels = self._world.catalog.label_numbers("accounts")
        stages = len(self._world.catalog.account_stages)
        for serial, created, imported_update in self._imports(dice, self._sizes.accounts):
            self.accounts.append(
                Account(
                    id=self._ids.make(Kind.ACCOUNT, serial, created),
                    serial=serial,
                    created=created,
                    updated=self._updated(dice, created, imported_update),
                    active=self._since(dice, created) if dice.chance(0.3) else 0,
                    stage=dice.whole(0, stages - 1),
                    owner=dice.pick(self._users) if dice.chance(0.9) else None,
                    labels=(dice.pick(labels),) if dice.chance(0.25) else (),
                )
            )
        self._world.accounts.load(self.accounts)

    def _save_contacts(self) -> None:
        dice = self._ids.dice(Kind.CONTACT, 0)
        labels = self._world.catalog.label_numbers("contacts")
        stages = len(self._world.catalog.contact_stages)
        company_of = self._world.people.company_serial_of
        for serial, created, imported_update in self._imports(dice, self._sizes.contacts):
            account = None
            if self.accounts and dice.chance(0.91):
                account = self.accounts[company_of(serial)]
                account.contacts += 1
            enrolled = self._sequences and (serial == 0 or dice.chance(_ENROLLED))
            enrollments = self._enroll(dice, created) if enrolled else ()
            self.contacts.append(
                Contact(
                    id=self._ids.make(Kind.CONTACT, serial, created),
                    serial=serial,
                    created=created,
                    updated=self._updated(dice, created, imported_update),
                    active=self._since(dice, created) if enrollments or dice.chance(0.05) else 0,
                    account=account,
                    stage=dice.whole(0, stages - 1),
                    owner=dice.pick(self._users) if dice.chance(0.94) else None,
                    labels=(dice.pick(labels),) if dice.chance(0.3) else (),
                    enrollments=enrollments,
                )
            )
        self._world.contacts.load(self.contacts)

    def _enroll(self, dice: Dice, created: int) -> tuple[Enrollment, ...]:
        first = dice.whole(0, len(self._sequences) - 1)
        chosen = {first}
        if dice.chance(0.25):
            chosen.add((first + 1) % len(self._sequences))
        return tuple(
            Enrollment(self._sequences[number], dice.pick(_ENROLLMENT_STATUSES), self._since(dice, created))
            for number in sorted(chosen)
        )

    def _open_deals(self) -> None:
        dice = self._ids.dice(Kind.DEAL, 0)
        stages = len(self._world.catalog.deal_stages)
        for serial in range(self._sizes.deals):
            created = self._past(dice)
            contact = self._some_contact(dice, 0.85)
            amount: float | None = float(dice.whole(1, 400)) * 250.25
            if dice.chance(0.7):
                amount = dice.whole(1, 200) * 500
            elif dice.chance(0.2):
                amount = None
            self._deals.append(
                Deal(
                    id=self._ids.make(Kind.DEAL, serial, created),
                    serial=serial,
                    created=created,
                    account=contact.account if contact is not None else None,
                    stage=dice.whole(0, stages - 1) if dice.chance(0.95) else None,
                    owner=dice.pick(self._users),
                    amount=amount,
                    contacts=() if contact is None else (contact,),
                )
            )
        self._world.deals.load(self._deals)

    def _send_emails(self) -> None:
        places = [(contact, enrollment) for contact in self.contacts for enrollment in contact.enrollments]
        dice = self._ids.dice(Kind.OUTREACH_EMAIL, 0)
        emails = []
        for serial in range(self._sizes.outreach_emails if places else 0):
            contact, enrollment = places[serial % len(places)]
            step = serial // len(places) % enrollment.sequence.steps
            created = enrollment.added
            due = created + step * 3 * DAY + dice.whole(MINUTE, 2 * DAY)
            planned = enrollment.status == "active" and dice.chance(0.2)
            if planned or due > self._world.start:
                due = self._world.start + dice.whole(MINUTE, 7 * DAY)
                status, completed = "scheduled", None
            elif dice.chance(_SENT_OK):
                status, completed = (
                    "completed",
                    min(due + dice.whole(SECOND, 3 * MINUTE), self._now),
                )
            else:
                status, completed = "failed", None
            emails.append(
                OutreachEmail(
                    id=self._ids.make(Kind.OUTREACH_EMAIL, serial, created),
                    serial=serial,
                    created=created,
                    contact=contact,
                    sequence=enrollment.sequence,
                    step=step,
                    status=status,
                    due=due,
                    completed=completed,
                )
            )
        self._world.outreach_emails.load(emails)

    def _set_tasks(self) -> None:
        dice = self._ids.dice(Kind.TASK, 0)
        tasks = []
        for serial in range(self._sizes.tasks):
            created = self._past(dice)
            deal = dice.pick(self._deals) if self._deals and dice.chance(0.15) else None
            contact = self._some_contact(dice, 0.85) if deal is None else None
            account = contact.account if contact is not None else None
            if contact is None and deal is None and self.accounts:
                account = dice.pick(self.accounts)
            tasks.append(
                Task(
                    id=self._ids.make(Kind.TASK, serial, created),
                    serial=serial,
                    created=created,
                    due=(created // DAY + dice.whole(1, 60)) * DAY,
                    user=dice.pick(self._users),
                    priority=dice.whole(0, 2),
                    contact=contact,
                    account=account,
                    deal=deal,
                )
            )
        self._world.tasks.load(tasks)

    def _make_calls(self) -> None:
        dice = self._ids.dice(Kind.CALL, 0)
        calls = []
        for serial in range(self._sizes.calls):
            start = self._past(dice) // SECOND * SECOND
            calls.append(
                PhoneCall(
                    id=self._ids.make(Kind.CALL, serial, start),
                    serial=serial,
                    created=start,
                    start=start,
                    seconds=dice.whole(20, 1800) if dice.chance(0.6) else 0,
                    inbound=dice.chance(0.15),
                    user=dice.pick(self._users),
                    contact=self._some_contact(dice, 0.9),
                )
            )
        self._world.calls.load(calls)

    def _record_conversations(self) -> None:
        dice = self._ids.dice(Kind.CONVERSATION, 0)
        conversations = []
        for serial in range(self._sizes.conversations):
            start = self._past(dice) // (15 * MINUTE) * 15 * MINUTE
            deal = dice.pick(self._deals) if self._deals and dice.chance(0.4) else None
            contact = self._some_contact(dice, 0.95) if deal is None else None
            conversations.append(
                Conversation(
                    id=self._ids.make(Kind.CONVERSATION, serial, start),
                    serial=serial,
                    created=start,
                    start=start,
                    seconds=dice.whole(300, 3600),
                    host=dice.pick(self._users),
                    account=deal.account if deal else contact.account if contact else None,
                    deal=deal,
                    contacts=deal.contacts if deal else (contact,) if contact else (),
                    insights=dice.chance(0.75),
                )
            )
        self._world.conversations.load(conversations)

    def _imports(self, dice: Dice, rows: int) -> Iterator[tuple[int, int, int]]:
        """Yield rows as they were imported: number, the import's one instant, and its later mass update."""
        serial = 0
        while serial < rows:
            created = self._past(dice)
            updated = self._since(dice, created)
            for _ in range(self._import_size(dice)):
                if serial < rows:
                    yield serial, created, updated
                serial += 1

    def _import_size(self, dice: Dice) -> int:
        mean_beyond_one = self._world.settings.tie_size - 1
        if mean_beyond_one <= 0:
            return 1
        return 1 + int(-math.log(1 - dice.random()) / math.log(1 + 1 / mean_beyond_one))

    def _updated(self, dice: Dice, created: int, imported_update: int) -> int:
        if dice.chance(0.12):
            return self._since(dice, created)
        return imported_update

    def _some_contact(self, dice: Dice, probability: float) -> Contact | None:
        if self.contacts and dice.chance(probability):
            return dice.pick(self.contacts)
        return None

    def _past(self, dice: Dice) -> int:
        return dice.whole(self._world.founded, self._now - HOUR)

    def _since(self, dice: Dice, earlier: int) -> int:
        return dice.whole(earlier, self._now)

    @property
    def _now(self) -> int:
        return self._world.start
