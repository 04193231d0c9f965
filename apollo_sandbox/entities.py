"""What the team owns, as small objects: only what cannot be derived again from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from apollo_sandbox.clock import DAY


class Enrollment(NamedTuple):
    """A contact's place in a sequence."""

    sequence: Sequence
    status: str
    added: int


@dataclass(slots=True, eq=False)
class Record:
    """What every record has: its id, its number among those of its kind, and when it was created."""

    id: str
    serial: int
    created: int

    def touch(self, now: int) -> None:
        """Take note of an update; most records keep no time of it."""


@dataclass(slots=True, eq=False)
class User(Record):
    """A colleague on the team."""

    first_name: str
    last_name: str
    title: str
    email: str
    deleted: bool

    @property
    def name(self) -> str:
        """Give the full name."""
        return f"{self.first_name} {self.last_name}"


@dataclass(slots=True, eq=False)
class Saved(Record):
    """A person or a company that the team saved."""

    updated: int
    active: int
    stage: int
    owner: User | None
    labels: tuple[int, ...]

    def touch(self, now: int) -> None:
        """Note the time of the update."""
        self.updated = now


@dataclass(slots=True, eq=False)
class Account(Saved):
    """A company the team saved. `updated` sorts the list but is never shown."""

    contacts: int = 0
    revision: int = 0


@dataclass(slots=True, eq=False)
class Contact(Saved):
    """A person the team saved."""

    account: Account | None
    enrollments: tuple[Enrollment, ...]
    revision: int = 0


@dataclass(slots=True, eq=False)
class Deal(Record):
    """An opportunity."""

    account: Account | None
    stage: int | None
    owner: User
    amount: float | None
    contacts: tuple[Contact, ...]
    revision: int = 0


@dataclass(slots=True, eq=False)
class Sequence(Record):
    """A campaign of e-mails and tasks."""

    name: str
    owner: User
    steps: int
    active: bool
    archived: bool


@dataclass(slots=True, eq=False)
class OutreachEmail(Record):
    """An e-mail a sequence sent, or will send."""

    contact: Contact
    sequence: Sequence
    step: int
    status: str
    due: int
    completed: int | None


@dataclass(slots=True, eq=False)
class Task(Record):
    """Something a user is to do about a contact, an account or a deal."""

    due: int
    user: User
    priority: int
    contact: Contact | None
    account: Account | None
    deal: Deal | None
    revision: int = 0

    def touch(self, _: int) -> None:
        """Let the update be a delay by a day."""
        self.due += DAY


@dataclass(slots=True, eq=False)
class PhoneCall(Record):
    """A phone call."""

    start: int
    seconds: int
    inbound: bool
    user: User
    contact: Contact | None


@dataclass(slots=True, eq=False)
class Conversation(Record):
    """A recorded meeting or call."""

    start: int
    seconds: int
    host: User
    account: Account | None
    deal: Deal | None
    contacts: tuple[Contact, ...]
    insights: bool
