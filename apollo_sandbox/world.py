"""The team's data: what exists, how it hangs together, and how it changes."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

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
from apollo_sandbox.ids import IdFactory, Kind, scramble
from apollo_sandbox.vocabulary import Vocabulary

if TYPE_CHECKING:
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

    def touch_contact(self, contact_id: str, *, stage: int | None = None) -> None:
        """Let a colleague change a contact, and move it to another stage if one is given."""
        with self.lock, self.contacts.changing(_living(self.contacts, contact_id)) as contact:
            contact.updated = self.clock.now()
            contact.revision += 1
            if stage is not None:
                contact.stage = stage

    def add_contact(self) -> str:
        """Let a colleague type a contact in; gives its id."""
        with self.lock:
            now, serial = self.clock.now(), self._next_serial()
            dice = self.ids.dice(Kind.CONTACT, serial)
            account = _any_of(self.accounts, dice.random()) if dice.chance(0.9) else None
            contact = Contact(
                id=self.ids.make(Kind.CONTACT, serial, now),
                serial=serial,
                created=now,
                updated=now,
                active=0,
                account=account,
                stage=0,
                owner=_any_of(self.users, dice.random()),
                labels=(),
                enrollments=(),
            )
            if account is not None:
                account.contacts += 1
            self.contacts.add(contact)
            return contact.id

    def delete_contact(self, contact_id: str) -> None:
        """Let a colleague delete a contact; Apollo keeps no trace of it."""
        with self.lock:
            contact = _living(self.contacts, contact_id)
            if contact.account is not None:
                contact.account.contacts -= 1
            self.contacts.remove(contact)

    def enroll_contact(self, contact_id: str, sequence_id: str, status: str = "active") -> None:
        """Put a contact into a sequence, which does not count as an update of the contact."""
        with self.lock, self.contacts.changing(_living(self.contacts, contact_id)) as contact:
            sequence = _living(self.sequences, sequence_id)
            others = tuple(one for one in contact.enrollments if one.sequence is not sequence)
            contact.enrollments = (*others, Enrollment(sequence, status, self.clock.now()))

    def touch_account(self, account_id: str, *, stage: int | None = None, visible: bool = True) -> None:
        """Let a colleague change an account.

        An invisible change moves the account in the order by update and nothing else, as some
        of Apollo's own jobs do.
        """
        with self.lock, self.accounts.changing(_living(self.accounts, account_id)) as account:
            account.updated = self.clock.now()
            account.revision += visible
            if stage is not None:
                account.stage = stage

    def add_account(self) -> str:
        """Let a colleague type an account in; gives its id."""
        with self.lock:
            now, serial = self.clock.now(), self._next_serial()
            dice = self.ids.dice(Kind.ACCOUNT, serial)
            account = Account(
                id=self.ids.make(Kind.ACCOUNT, serial, now),
                serial=serial,
                created=now,
                updated=now,
                active=0,
                stage=0,
                owner=_any_of(self.users, dice.random()),
                labels=(),
            )
            self.accounts.add(account)
            return account.id

    def delete_account(self, account_id: str) -> None:
        """Let a colleague delete an account; its contacts stay, without it."""
        with self.lock:
            self.accounts.remove(_living(self.accounts, account_id))

    def touch_deal(self, deal_id: str, *, stage: int | None = None) -> None:
        """Let a colleague change a deal."""
        with self.lock, self.deals.changing(_living(self.deals, deal_id)) as deal:
            deal.revision += 1
            if stage is not None:
                deal.stage = stage

    def add_deal(self) -> str:
        """Let a colleague open a deal; gives its id."""
        with self.lock:
            now, serial = self.clock.now(), self._next_serial()
            dice = self.ids.dice(Kind.DEAL, serial)
            owner = _any_of(self.users, dice.random())
            if owner is None:
                message = "a deal needs a user to own it"
                raise LookupError(message)
            deal = Deal(
                id=self.ids.make(Kind.DEAL, serial, now),
                serial=serial,
                created=now,
                account=_any_of(self.accounts, dice.random()),
                stage=0,
                owner=owner,
                amount=dice.whole(1, 90) * 1000,
                contacts=(),
            )
            self.deals.add(deal)
            return deal.id

    def delete_deal(self, deal_id: str) -> None:
        """Let a colleague delete a deal."""
        with self.lock:
            self.deals.remove(_living(self.deals, deal_id))

    def touch_task(self, task_id: str) -> None:
        """Let a colleague postpone a task by a day."""
        with self.lock, self.tasks.changing(_living(self.tasks, task_id)) as task:
            task.due += DAY
            task.revision += 1

    def add_task(self) -> str:
        """Let a colleague create a task; gives its id."""
        with self.lock:
            now, serial = self.clock.now(), self._next_serial()
            dice = self.ids.dice(Kind.TASK, serial)
            user = _any_of(self.users, dice.random())
            if user is None:
                message = "a task needs a user to do it"
                raise LookupError(message)
            task = Task(
                id=self.ids.make(Kind.TASK, serial, now),
                serial=serial,
                created=now,
                due=now + 7 * DAY,
                user=user,
                priority=dice.whole(0, 2),
                contact=_any_of(self.contacts, dice.random()),
                account=None,
                deal=None,
            )
            self.tasks.add(task)
            return task.id

    def delete_task(self, task_id: str) -> None:
        """Let a colleague delete a task."""
        with self.lock:
            self.tasks.remove(_living(self.tasks, task_id))

    def _next_serial(self) -> int:
        self._last_serial += 1
        return self._last_serial

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


def _any_of(collection: Collection[E], share: float) -> E | None:
    rows = collection.order("default").rows
    return rows[int(share * len(rows))] if rows else None


def _anyhow(row: Deal | Sequence | Task) -> int:
    return scramble(row.serial)


def _imported_together(row: Contact | Account) -> tuple[int, int]:
    """Order rows by neither creation nor update, yet leave an import in one place."""
    return scramble(row.created), scramble(row.serial)


def _unsent_first(email: OutreachEmail) -> tuple[bool, int]:
    return email.status == "scheduled", email.due
