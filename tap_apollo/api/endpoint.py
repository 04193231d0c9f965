"""An endpoint as a value: how it is asked, what a key needs to read it, and how its replies become rows.

Only what stands here, and the functions that a declaration hands to an endpoint, turn a reply into rows. So only they
may say that a reply is of an unknown form.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from tap_apollo.api.errors import UnknownReplyError
from tap_apollo.paging import DISPLAY_LIMIT, PER_PAGE, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_apollo.paging import PageRequest, Record

#: What code that reads a reply raises if the reply has not the form it is known to have.
_MISREAD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


#: Rows of a reply of which each cannot be a row by chance: then it is the reply's form.
MANY = 10


def id_of(value: Any) -> str | None:
    """Return an id as text, also of a whole number; None: it is no id, and what it should tell apart is no row."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return f"{value}" or None


def objects(rows: Any) -> list[Record]:
    """Return rows, of which those that are no objects are empty ones: so they lack their keys, and cost no other.

    Raises:
        TypeError: There is no list of them.
    """
    if not isinstance(rows, list):
        raise TypeError("there is no list of rows")
    return [row if isinstance(row, dict) else {} for row in rows]


def missing(row: Any, keys: Iterable[str]) -> str | None:
    """Return the first of its keys that a row lacks, or None; those that are numbers become text, in place.

    Without its keys nothing can be told from another, and loaders stop at one that is null: it is no row.
    """
    for key in keys:
        value = row.get(key) if isinstance(row, dict) else None
        if type(value) is not str or not value:
            text = id_of(value)
            if text is None:
                return key
            row[key] = text
    return None


def by_number(request: PageRequest) -> dict[str, Any]:
    """Return the parameters of a page that is asked for by its number."""
    return {"page": request.number, "per_page": request.per_page}


def at_once(request: PageRequest) -> dict[str, Any]:  # noqa: ARG001
    """Return the parameters of a list that comes whole: none."""
    return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Endpoint:
    """One endpoint of Apollo's.

    Attributes:
        method: The HTTP method.
        path: The path below the API's address; ``{id}`` stands for a record's id.
        rows: Where a reply holds its rows, or its record; None if the reply is the list itself.
        scope: What an API key needs to read it; None where only a master key will do. By default it is named after the
            path, as nearly all scopes are (vendor's reference): ``api/v1/contacts/show`` for ``contacts/{id}``.
        oauth: What an access token needs; None where no app may read it.
        parameters: What every request sends: the JSON body of a POST, the query of a GET.
        paged: Makes the parameters of one page.
        per_page: Most rows on a page.
        keys: What tells the rows of a list apart.
        read: Turns a reply into rows, where that takes more than ``rows``.
        documented: Whether the vendor's reference has it.
        gone: How Apollo says that it does not have a record, or has it no more: per status, words of the text, in lower
            case, or codes. Nothing else counts as that.
        area: What the name of the scope begins with, where scopes are named after the path and an area of the app.
    """

    #: Rows of one list beyond which Apollo refuses pages.
    display_limit: ClassVar[int] = DISPLAY_LIMIT

    method: str
    path: str
    rows: str | None = None
    scope: str | None = ""
    oauth: str | None = None
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    paged: Callable[[PageRequest], dict[str, Any]] = at_once
    per_page: int = PER_PAGE
    keys: tuple[str, ...] = ("id",)
    read: Callable[[Any], list[Record]] | None = None
    documented: bool = True
    gone: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    area: str = ""

    def __post_init__(self) -> None:
        """Name the scope after the path, if the declaration leaves that to it."""
        if self.scope == "":
            action = self.path.replace("/{id}", "/show" if self.path.endswith("/{id}") else "")
            object.__setattr__(self, "scope", f"{self.area}api/v1/{action}{'' if '/' in action else '/index'}")

    # The request

    def path_for(self, record_id: str | None) -> str:
        """Return the path of a request, with the id of the record that it is about."""
        return self.path if record_id is None else self.path.format(id=record_id)

    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        """Return what to send for one page."""
        return {**self.parameters, **request.parameters, **self.paged(request)}

    def remedy(self, credential: str) -> str:
        """Return what to do about credentials that may not read the endpoint.

        Args:
            credential: The setting that holds the key or token.
        """
        if credential != "api_key":
            if self.oauth is None:
                return f"no app may; use {'a master' if self.scope is None else 'an API'} key"
            return f"the missing scope is {self.oauth}; authorize the app again with it"
        if self.scope is None:
            return "only a master key may; use one"
        return f"the missing scope is {self.scope}; give the key that scope or use a master key"

    # The reply

    @contextlib.contextmanager
    def parsing(self) -> Iterator[None]:
        """Turn what goes wrong while a reply is read into the error that says so; nothing else may go on within.

        Raises:
            UnknownReplyError: The reply is of an unknown form.
        """
        try:
            yield
        except _MISREAD as error:
            raise UnknownReplyError(self.path, error) from error

    def records(self, reply: Any) -> list[Record]:
        """Return the rows of a reply, as ``objects`` does.

        Raises:
            UnknownReplyError: There is no list of rows where the endpoint gives one.
        """
        with self.parsing():
            return objects(self.read(reply) if self.read else reply[self.rows] if self.rows else reply)

    def record(self, reply: Any) -> list[Record]:
        """Return the one record in a reply, as ``records`` does; none if its place is empty.

        Raises:
            UnknownReplyError: There is no place for one.
        """
        with self.parsing():
            record = reply[self.rows] if self.rows else reply
            return [] if self.rows and not record else objects([record])

    def page(self, reply: Any) -> Page:
        """Return the page in a reply; some endpoints report their numbers as strings, some report none.

        Raises:
            UnknownReplyError: The reply is of an unknown form.
        """
        rows = self.records(reply)
        records = [row for row in rows if missing(row, self.keys) is None]
        left_out = len(rows) - len(records)
        if left_out >= MANY and not records:
            raise UnknownReplyError(self.path, LookupError(f"no row has {self.keys[0]}"))
        if self.paged is at_once:
            return Page(records, total=len(records), left_out=left_out)
        with self.parsing():
            pagination = reply.get("pagination")
            pagination = pagination if isinstance(pagination, dict) else {}
            breadcrumbs = reply.get("breadcrumbs")
            return Page(
                records,
                total=total_of(reply),
                per_page=_number(pagination.get("per_page")),
                filtered=bool(breadcrumbs) if isinstance(breadcrumbs, list) else None,
                left_out=left_out,
            )


def total_of(reply: Any) -> int | None:
    """Return how many rows a list has by its reply; None: that does not tell."""
    if not isinstance(reply, dict):
        return None
    pagination = reply.get("pagination")
    told = pagination if isinstance(pagination, dict) else reply
    return _number(told.get("total_entries", reply.get("total_entries")))


def GET(path: str, rows: str | None = None, **facts: Any) -> Endpoint:  # noqa: N802
    """Return an endpoint that is asked by a query."""
    return Endpoint("GET", path, rows, **facts)


def POST(path: str, rows: str | None = None, **facts: Any) -> Endpoint:  # noqa: N802
    """Return an endpoint that is asked by a JSON body."""
    return Endpoint("POST", path, rows, **facts)


def _number(value: Any) -> int | None:
    """Return a number of the reply's about itself; a walk can do without any."""
    try:
        return None if isinstance(value, bool) else int(value)
    except (OverflowError, TypeError, ValueError):
        return None
