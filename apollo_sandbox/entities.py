"""What the team owns, as small objects: only what cannot be derived again from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Enrollment(NamedTuple):
    """A contact's place in a sequence."""

    sequence: Sequence
    status: str
    added: int


@dataclass(slots=True, eq=False)
class User:
    """A colleague on the team."""

    id: str
    serial: int
    created: int
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
class Account:
    """A company the team saved. `updated` sorts the list but is never shown."""

    id: str
    serial: int
    created: int
    updated: int
    active: int
    stage: int
    owner: User | None
    labels: tuple[int, ...]
    contacts: int = 0
    revision: int = 0


@dataclass(slots=True, eq=False)
class Contact:
    """A person the team saved."""

    id: str
    serial: int
    created: int
    updated: int
    active: int
    account: Account | None
    stage: int
    owner: User | None
    labels: tuple[int, ...]
    enrollments: tuple[Enrollment, ...]
    revision: int = 0


@dataclass(slots=True, eq=False)
class Deal:
    """An opportunity."""

    id: str
    serial: int
    created: int
    account: Account | None
    stage: int | None
    owner: User
    amount: float | None
    contacts: tuple[Contact, ...]
    revision: int = 0


@dataclass(slots=True, eq=False)
class Sequence:
    """A campaign of e-mails and tasks."""

    id: str
    serial: int
    created: int
    name: str
    owner: User
    steps: int
    active: bool
    archived: bool


@dataclass(slots=True, eq=False)
class OutreachEmail:
    """An e-mail a sequence sent, or will send."""

    id: str
    serial: int
    created: int
    contact: Contact
    sequence: Sequence
    step: int
    status: str
    due: int
    completed: int | None


@dataclass(slots=True, eq=False)
class Task:
    """Something a user is to do about a contact, an account or a deal."""

    id: str
    serial: int
    created: int
    due: int
    user: User
    priority: int
    contact: Contact | None
    account: Account | None
    deal: Deal | None
    revision: int = 0


@dataclass(slots=True, eq=False)
class PhoneCall:
    """A phone call."""

    id: str
    serial: int
    created: int
    start: int
    seconds: int
    inbound: bool
    user: User
    contact: Contact | None


@dataclass(slots=True, eq=False)
class Conversation:
    """A recorded meeting or call."""

    id: str
    serial: int
    created: int
    start: int
    seconds: int
    host: User
    account: Account | None
    deal: Deal | None
    contacts: tuple[Contact, ...]
    insights: bool
