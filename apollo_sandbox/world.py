"""The team's data: what exists, how it hangs together, and how it changes."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict
from functools import cached_property, partialmethod
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from apollo_sandbox.catalog import Catalog
from apollo_sandbox.clock import DAY
from apollo_sandbox.collection import Collection
from apollo_sandbox.directory import Directory
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
from apollo_sandbox.identities import Identities
from apollo_sandbox.ids import Dice, Identity, IdFactory, Kind, scramble
from apollo_sandbox.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from apollo_sandbox.clock import Clock
    from apollo_sandbox.collection import Identified
    from apollo_sandbox.identities import Company, Person
    from apollo_sandbox.settings import Settings

E = TypeVar("E", bound="Identified")

_HISTORY_MS = 3 * 365 * DAY
_LINKED_SHARE = 0.9


class World:
    """The model of one team. Every method is safe to call while the sandbox is serving."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Set the team up without any records; `genesis.create_world` gives it its first ones."""
        self.settings = settings
        self.sizes = settings.sizes
        self.clock = clock
        self.lock = threading.RLock()
        self.start = clock.start_ms
        self.founded = clock.start_ms - _HISTORY_MS
        self.ids = IdFactory(settings.seed)
        self.words = Vocabulary.for_seed(settings.seed)
        self.people = Identities(self.ids, self.words, self.sizes)
        self.catalog = Catalog(self.ids, self.founded)
        self._last_serial: int = max(asdict(self.sizes).values())
        self._create_collections()
        self.directory = Directory(self.people, self.sizes)

    def _create_collections(self) -> None:
        created, updated, active = (
            attrgetter("created"),
            attrgetter("updated"),
            attrgetter("active"),
        )
        self.users: Collection[User] = Collection({"default": attrgetter("serial")})
        self.contacts: Collection[Contact] = Collection(
            {
                "default": _imported_together,
                "contact_created_at": created,
                "contact_updated_at": updated,
                "contact_last_activity_date": active,
                "contact_email_last_opened_at": self._last_opened,
                "contact_email_last_clicked_at": self._last_clicked,
            }
        )
        self.accounts: Collection[Account] = Collection(
            {
                "default": _imported_together,
                "account_created_at": created,
                "account_updated_at": updated,
                "account_last_activity_date": active,
            }
        )
        self.deals: Collection[Deal] = Collection(
            {
                "default": _anyhow,
                "amount": lambda deal: -1.0 if deal.amount is None else deal.amount,
                "is_closed": self.is_closed,
                "is_won": self.is_won,
            }
        )
        self.sequences: Collection[Sequence] = Collection({"default": _anyhow})
        self.outreach_emails: Collection[OutreachEmail] = Collection({"default": _unsent_first})
        self.tasks: Collection[Task] = Collection(
            {
                "default": _anyhow,
                "task_due_at": attrgetter("due"),
                "task_priority": attrgetter("priority"),
            }
        )
        self.calls: Collection[PhoneCall] = Collection({"default": attrgetter("start")})
        self.conversations: Collection[Conversation] = Collection({"default": attrgetter("start")})
        self.editable: dict[str, Collection[Any]] = {
            "contact": self.contacts,
            "account": self.accounts,
            "deal": self.deals,
            "task": self.tasks,
        }

    def is_closed(self, deal: Deal) -> bool:
        """Tell whether a deal is won or lost."""
        return deal.stage is not None and self.catalog.deal_stages[deal.stage].is_closed

    def is_won(self, deal: Deal) -> bool:
        """Tell whether a deal is won."""
        return deal.stage is not None and self.catalog.deal_stages[deal.stage].is_won

    def account_of(self, contact: Contact) -> Account | None:
        """Give the living account a contact works at."""
        account = contact.account
        return account if account is not None and account in self.accounts else None

    def organization_of(self, account: Account) -> Company | None:
        """Give the company of Apollo's database that an account is linked to."""
        if account.serial >= self.sizes.organizations:
            return None
        linked = self.ids.bits(Kind.ACCOUNT, account.serial) / 2**64 < _LINKED_SHARE
        return self.people.company(account.serial) if linked else None

    def account_of_company(self, company: Company) -> Account | None:
        """Give the living account that is linked to a company of Apollo's database."""
        account = self.accounts.first(company.serial)
        return account if account is not None and self.organization_of(account) is not None else None

    def contact_of_person(self, person: Person) -> Contact | None:
        """Give the living contact that a person of Apollo's database was saved as."""
        return self.contacts.first(person.serial)

    @cached_property
    def label_counts(self) -> tuple[int, ...]:
        """Count the members of each list, once; Apollo's own counts are stale as well."""
        counts = Counter(number for one in self.contacts for number in one.labels)
        counts.update(number for one in self.accounts for number in one.labels)
        return tuple(counts[number] for number in range(len(self.catalog.labels)))

    def touch(self, noun: str, row_id: str, *, stage: int | None = None, visible: bool = True) -> None:
        """Let a colleague change a record, and move it to another stage if one is given.

        A change that is not visible moves the record in the order by update and does nothing
        else, as some of Apollo's own jobs do.
        """
        if stage is not None and noun not in self.catalog.stages_of:
            message = f"a {noun} has no stage"
            raise TypeError(message)
        rows = self.editable[noun]
        with self.lock, rows.changing(_living(rows, row_id)) as row:
            row.touch(self.clock.now())
            row.revision += visible
            if stage is not None:
                row.stage = stage

    def add(self, noun: str) -> str:
        """Let a colleague type a record in; gives its id."""
        with self.lock:
            self._last_serial += 1
            kind, serial = Kind[noun.upper()], self._last_serial
            identity = self.ids.identity(kind, serial, self.clock.now())
            self.editable[noun].add(_TYPED_IN[noun](self, self.ids.dice(kind, serial), identity))
            return identity.id

    def delete(self, noun: str, row_id: str) -> None:
        """Let a colleague delete a record; what refers to it stays, without it."""
        with self.lock:
            row = _living(self.editable[noun], row_id)
            if isinstance(row, Contact) and row.account is not None:
                row.account.contacts -= 1
            self.editable[noun].remove(row)

    def enroll_contact(self, row_id: str, sequence_id: str, status: str = "active") -> None:
        """Put a contact into a sequence, which does not count as an update of the contact."""
        with self.lock, self.contacts.changing(_living(self.contacts, row_id)) as contact:
            sequence = _living(self.sequences, sequence_id)
            others = tuple(one for one in contact.enrollments if one.sequence is not sequence)
            contact.enrollments = (*others, Enrollment(sequence, status, self.clock.now()))

    # Each edit under a name of its own, as `POST /_sandbox/edit` and tests call it.
    touch_contact = partialmethod(touch, "contact")
    touch_account = partialmethod(touch, "account")
    touch_deal = partialmethod(touch, "deal")
    touch_task = partialmethod(touch, "task")
    add_contact = partialmethod(add, "contact")
    add_account = partialmethod(add, "account")
    add_deal = partialmethod(add, "deal")
    add_task = partialmethod(add, "task")
    delete_contact = partialmethod(delete, "contact")
    delete_account = partialmethod(delete, "account")
    delete_deal = partialmethod(delete, "deal")
    delete_task = partialmethod(delete, "task")

    def _last_opened(self, contact: Contact) -> int:
        return contact.active if contact.serial % 2 else 0

    def _last_clicked(self, contact: Contact) -> int:
        return contact.active if contact.serial % 5 == 1 else 0


def _living(collection: Collection[E], row_id: str) -> E:
    row = collection.get(row_id)
    if row is None:
        message = f"nothing living has the id {row_id}"
        raise LookupError(message)
    return row


def _any_of(collection: Collection[E], dice: Dice) -> E | None:
    rows, share = collection.order("default").rows, dice.random()
    return rows[int(share * len(rows))] if rows else None


def _any_user(world: World, dice: Dice) -> User:
    users = world.users.first_rows
    return users[int(dice.random() * len(users))]


def _typed_in_contact(world: World, dice: Dice, identity: Identity) -> Contact:
    account = _any_of(world.accounts, dice) if dice.chance(0.9) else None
    if account is not None:
        account.contacts += 1
    return Contact(
        *identity,
        updated=identity.created,
        active=0,
        account=account,
        stage=0,
        owner=_any_user(world, dice),
        labels=(),
        enrollments=(),
    )


def _typed_in_account(world: World, dice: Dice, identity: Identity) -> Account:
    owner = _any_user(world, dice)
    return Account(*identity, updated=identity.created, active=0, stage=0, owner=owner, labels=())


def _typed_in_deal(world: World, dice: Dice, identity: Identity) -> Deal:
    return Deal(
        *identity,
        owner=_any_user(world, dice),
        account=_any_of(world.accounts, dice),
        stage=0,
        amount=dice.whole(1, 90) * 1000,
        contacts=(),
    )


def _typed_in_task(world: World, dice: Dice, identity: Identity) -> Task:
    return Task(
        *identity,
        due=identity.created + 7 * DAY,
        user=_any_user(world, dice),
        priority=dice.whole(0, 2),
        contact=_any_of(world.contacts, dice),
        account=None,
        deal=None,
    )


_TYPED_IN: dict[str, Callable[[World, Dice, Identity], Any]] = {
    "contact": _typed_in_contact,
    "account": _typed_in_account,
    "deal": _typed_in_deal,
    "task": _typed_in_task,
}


def _anyhow(row: Deal | Sequence | Task) -> int:
    return scramble(row.serial)


def _imported_together(row: Contact | Account) -> tuple[int, int]:
    """Order rows by neither creation nor update, yet leave an import in one place."""
    return scramble(row.created), scramble(row.serial)


def _unsent_first(email: OutreachEmail) -> tuple[bool, int]:
    return email.status == "scheduled", email.due
