"""How the team came to have the data it starts with."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING, TypeVar

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
from apollo_sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apollo_sandbox.clock import Clock
    from apollo_sandbox.collection import Collection, Identified
    from apollo_sandbox.settings import Settings

E = TypeVar("E", bound="Identified")

_TEAM_DOMAIN = "harborline.test"
_USER_TITLES = ("Account Executive", "Sales Development", "Sales Manager", "Revenue Operations")
_SEQUENCE_THEMES = ("Welcome", "Reactivation", "Trade fair", "Referral", "Pilot offer", "Renewal")
_ENROLLMENT_STATUSES = ("active",) * 9 + ("finished",) * 7 + ("paused",) * 3 + ("failed",)
_ENROLLED = 0.2
_SENT_OK = 0.93


def create_world(settings: Settings, clock: Clock) -> World:
    """Create the team as it stands at the sandbox's start instant."""
    world = World(settings, clock)
    collecting = gc.isenabled()
    gc.disable()
    try:
        _Genesis(world).run()
    finally:
        if collecting:
            gc.enable()
    return world


class _Genesis:
    """Fills an empty world. Each kind of row draws from dice of its own, so none disturbs another."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = world.ids
        self._now = world.start
        self._places: list[tuple[Contact, Enrollment]] = []

    def run(self) -> None:
        """Fill the world, beginning with what other rows refer to."""
        world, sizes = self._world, self._world.sizes
        self._fill(world.users, Kind.USER, sizes.users, self._user)
        self._fill(world.sequences, Kind.SEQUENCE, sizes.sequences, self._sequence)
        dice = self._ids.dice(Kind.ACCOUNT, 0)
        world.accounts.load([self._account(dice, *one) for one in self._imports(dice, sizes.accounts)])
        dice = self._ids.dice(Kind.CONTACT, 0)
        world.contacts.load([self._contact(dice, *one) for one in self._imports(dice, sizes.contacts)])
        self._fill(world.deals, Kind.DEAL, sizes.deals, self._deal)
        self._places = [(contact, enrollment) for contact in world.contacts for enrollment in contact.enrollments]
        emails = sizes.outreach_emails if self._places else 0
        self._fill(world.outreach_emails, Kind.OUTREACH_EMAIL, emails, self._email)
        self._fill(world.tasks, Kind.TASK, sizes.tasks, self._task)
        self._fill(world.calls, Kind.CALL, sizes.calls, self._call)
        self._fill(world.conversations, Kind.CONVERSATION, sizes.conversations, self._conversation)

    def _fill(
        self,
        collection: Collection[E],
        kind: Kind,
        size: int,
        make: Callable[[Dice, int], E],
    ) -> None:
        dice = self._ids.dice(kind, 0)
        collection.load([make(dice, serial) for serial in range(size)])

    def _user(self, dice: Dice, serial: int) -> User:
        words = self._world.words
        created = self._world.founded + serial * DAY
        first, last = dice.pick(words.first_names), dice.pick(words.last_names)
        return User(
            *self._ids.identity(Kind.USER, serial, created),
            first_name=first,
            last_name=last,
            title=_USER_TITLES[serial % len(_USER_TITLES)],
            email=f"{first}.{last}{serial}@{_TEAM_DOMAIN}".lower().replace(" ", ""),
            deleted=serial > 1 and dice.chance(0.1),
        )

    def _sequence(self, dice: Dice, serial: int) -> Sequence:
        created = self._past(dice)
        archived = dice.chance(0.15)
        return Sequence(
            *self._ids.identity(Kind.SEQUENCE, serial, created),
            name=f"{dice.pick(_SEQUENCE_THEMES)} {serial + 1}",
            owner=self._some_user(dice),
            steps=dice.whole(2, 5),
            active=not archived and dice.chance(0.8),
            archived=archived,
        )

    def _account(self, dice: Dice, serial: int, created: int, imported_update: int) -> Account:
        catalog = self._world.catalog
        return Account(
            *self._ids.identity(Kind.ACCOUNT, serial, created),
            updated=self._updated(dice, created, imported_update),
            active=self._since(dice, created) if dice.chance(0.3) else 0,
            stage=dice.whole(0, len(catalog.account_stages) - 1),
            owner=self._some_user(dice) if dice.chance(0.9) else None,
            labels=(dice.pick(catalog.label_numbers("accounts")),) if dice.chance(0.25) else (),
        )

    def _contact(self, dice: Dice, serial: int, created: int, imported_update: int) -> Contact:
        world, catalog = self._world, self._world.catalog
        account = None
        if world.accounts.first_rows and dice.chance(0.91):
            account = world.accounts.first_rows[world.people.company_serial_of(serial)]
            account.contacts += 1
        enrolled = world.sequences.first_rows and (serial == 0 or dice.chance(_ENROLLED))
        enrollments = self._enroll(dice, created) if enrolled else ()
        return Contact(
            *self._ids.identity(Kind.CONTACT, serial, created),
            updated=self._updated(dice, created, imported_update),
            active=self._since(dice, created) if enrollments or dice.chance(0.05) else 0,
            account=account,
            stage=dice.whole(0, len(catalog.contact_stages) - 1),
            owner=self._some_user(dice) if dice.chance(0.94) else None,
            labels=(dice.pick(catalog.label_numbers("contacts")),) if dice.chance(0.3) else (),
            enrollments=enrollments,
        )

    def _enroll(self, dice: Dice, created: int) -> tuple[Enrollment, ...]:
        sequences = self._world.sequences.first_rows
        first = dice.whole(0, len(sequences) - 1)
        chosen = {first}
        if dice.chance(0.25):
            chosen.add((first + 1) % len(sequences))
        return tuple(
            Enrollment(sequences[number], dice.pick(_ENROLLMENT_STATUSES), self._since(dice, created))
            for number in sorted(chosen)
        )

    def _deal(self, dice: Dice, serial: int) -> Deal:
        created = self._past(dice)
        contact = self._some_contact(dice, 0.85)
        amount: float | None = float(dice.whole(1, 400)) * 250.25
        if dice.chance(0.7):
            amount = dice.whole(1, 200) * 500
        elif dice.chance(0.2):
            amount = None
        return Deal(
            *self._ids.identity(Kind.DEAL, serial, created),
            account=contact.account if contact is not None else None,
            stage=dice.whole(0, len(self._world.catalog.deal_stages) - 1) if dice.chance(0.95) else None,
            owner=self._some_user(dice),
            amount=amount,
            contacts=() if contact is None else (contact,),
        )

    def _email(self, dice: Dice, serial: int) -> OutreachEmail:
        turn, place = divmod(serial, len(self._places))
        contact, enrollment = self._places[place]
        step = turn % enrollment.sequence.steps
        created = enrollment.added
        due = created + step * 3 * DAY + dice.whole(MINUTE, 2 * DAY)
        planned = enrollment.status == "active" and dice.chance(0.2)
        status, completed = "failed", None
        if planned or due > self._now:
            due = self._now + dice.whole(MINUTE, 7 * DAY)
            status = "scheduled"
        elif dice.chance(_SENT_OK):
            status = "completed"
            completed = min(due + dice.whole(SECOND, 3 * MINUTE), self._now)
        return OutreachEmail(
            *self._ids.identity(Kind.OUTREACH_EMAIL, serial, created),
            contact=contact,
            sequence=enrollment.sequence,
            step=step,
            status=status,
            due=due,
            completed=completed,
        )

    def _task(self, dice: Dice, serial: int) -> Task:
        accounts = self._world.accounts.first_rows
        created = self._past(dice)
        deal = self._some_deal(dice, 0.15)
        contact = self._some_contact(dice, 0.85) if deal is None else None
        account = contact.account if contact is not None else None
        if contact is None and deal is None and accounts:
            account = dice.pick(accounts)
        return Task(
            *self._ids.identity(Kind.TASK, serial, created),
            due=(created // DAY + dice.whole(1, 60)) * DAY,
            user=self._some_user(dice),
            priority=dice.whole(0, 2),
            contact=contact,
            account=account,
            deal=deal,
        )

    def _call(self, dice: Dice, serial: int) -> PhoneCall:
        start = self._past(dice) // SECOND * SECOND
        return PhoneCall(
            *self._ids.identity(Kind.CALL, serial, start),
            start=start,
            seconds=dice.whole(20, 1800) if dice.chance(0.6) else 0,
            inbound=dice.chance(0.15),
            user=self._some_user(dice),
            contact=self._some_contact(dice, 0.9),
        )

    def _conversation(self, dice: Dice, serial: int) -> Conversation:
        start = self._past(dice) // (15 * MINUTE) * 15 * MINUTE
        deal = self._some_deal(dice, 0.4)
        contact = self._some_contact(dice, 0.95) if deal is None else None
        return Conversation(
            *self._ids.identity(Kind.CONVERSATION, serial, start),
            start=start,
            seconds=dice.whole(300, 3600),
            host=self._some_user(dice),
            account=deal.account if deal else contact.account if contact else None,
            deal=deal,
            contacts=deal.contacts if deal else (contact,) if contact else (),
            insights=dice.chance(0.75),
        )

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

    def _some_user(self, dice: Dice) -> User:
        return dice.pick(self._world.users.first_rows)

    def _some_contact(self, dice: Dice, probability: float) -> Contact | None:
        contacts = self._world.contacts.first_rows
        return dice.pick(contacts) if contacts and dice.chance(probability) else None

    def _some_deal(self, dice: Dice, probability: float) -> Deal | None:
        deals = self._world.deals.first_rows
        return dice.pick(deals) if deals and dice.chance(probability) else None

    def _past(self, dice: Dice) -> int:
        return dice.whole(self._world.founded, self._now - HOUR)

    def _since(self, dice: Dice, earlier: int) -> int:
        return dice.whole(earlier, self._now)
