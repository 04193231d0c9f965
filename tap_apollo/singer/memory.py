"""What is remembered from one run to the next: here it is decoded and encoded, in two forms and no third.

A runner merges states: it puts an object into an object, key by key, and anything else in place of what was there. So

- a *place*, where a later run goes on, stands in a list of one object: a merge replaces it whole;
- *what only grows*, such as what was bought, stands in objects by day and run: a merge unites two of them without loss.
  That something has ended is an entry, too, since a merge brings back what a newer state leaves out.

A state may also come from an older version or from an editor. What is not of the form that is written here is refused
as a whole: a wrong place would cost records, a wrong purchase credits.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

import msgspec

from tap_apollo.api.errors import ApolloError
from tap_apollo.paging import DateWindow, Mark, ResumePoint, WindowResumePoint
from tap_apollo.singer.conform import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Where a bookmark holds the place.
PLACE = "place"

#: No moment in a state is earlier: Apollo is younger.
_EARLIEST = "2000"

M = TypeVar("M")
W = TypeVar("W")
P = TypeVar("P")
T = TypeVar("T")


class Moment(str):
    """A moment in the format that the tap writes, in which text compares like time."""

    __slots__ = ()


#: What only grows: by the day that it is of, and by the run that wrote it.
ByDay = dict[datetime.date, dict[str, T]]

Count = Annotated[int, msgspec.Meta(ge=0)]
Day = datetime.date
Aware = Annotated[datetime.datetime, msgspec.Meta(tz=True)]

#: Digests of eight characters each.
Digests = Annotated[str, msgspec.Meta(pattern=r"^(?:[A-Za-z0-9+/]{8})*$")]


class StateError(Exception):
    """A part of the state cannot be used; the message says why, and goes on from "the state"."""


class Form(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is written in one form, and read in no other."""

    @property
    def shown(self) -> str | None:
        """The replication value that stands beside the place, for people to look at."""
        return None

    def become(self, other: Form) -> None:
        """Take over what another of the kind holds."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))

    def begin(self, start: str | None, *, anew: bool) -> None:
        """Note from which moment on a run reads; a place that holds for a later one only is given up.

        Args:
            start: The moment; None: everything.
            anew: Whether nothing before it has been read without a gap.
        """
        since: str | None = getattr(self, "since", None)
        if since and (start is None or start < since):
            self.become(type(self)())
            anew = True
        if anew:
            cast("Any", self).since = start and Moment(start)

    @property
    def moments(self) -> list[str]:
        """The moments from or up to which a walk in an order of time has read."""
        return []

    def begin_walk(self, start: str | None, now: str) -> None:
        """Begin a run of such a walk; a place that tells of what is yet to come, as of a clock ahead, is given up.

        Args:
            start: The moment from which on it reads; None: everything.
            now: When the run begins.
        """
        if any(one > now for one in self.moments):
            self.become(type(self)())
        reached = self.shown
        self.begin(start, anew=not self.moments or bool(start and reached and start > reached))


# Places


class Nowhere(Form):
    """The place of a stream that is read whole at once."""


class ResumePlace(Form, Generic[M]):
    """Where a walk through a list was stopped: see ``ResumePoint``."""

    position: Count
    total: Count | None = None
    count: Count = 0
    mark: M | None = None
    part: str = ""
    known_ids: tuple[str, ...] = ()
    careful: bool = False


class ListPlace(Form, Generic[M]):
    """The place in a list: of a kind for each kind of mark.

    Attributes:
        covered: The mark of the last walk that came to its end.
        resume_points: Where walks since then were stopped, the latest first.
        known_ids: Ids by which the list is recognized.
        walked_at: When the list was last walked whole.
        since: The `start_date` down to which rows have come; None: all have.
    """

    covered: M | None = None
    resume_points: tuple[ResumePlace[M], ...] = ()
    known_ids: tuple[str, ...] = ()
    walked_at: Aware | None = None
    since: Moment | None = None

    @property
    def shown(self) -> str | None:
        """The moment that the list was read down from."""
        return self.covered if isinstance(self.covered, str) else None

    @property
    def moments(self) -> list[str]:
        """The marks of the walks."""
        return [one for one in (self.covered, *(one.mark for one in self.resume_points)) if isinstance(one, str)]

    def note_resume_point(self, resume_points: list[ResumePoint]) -> None:
        """Note where the walk stands, the latest first."""
        self.resume_points = tuple(
            ResumePlace(**{**vars(one), "mark": one.mark and one.mark.value}) for one in resume_points
        )

    def stopped(self, mark: Callable[[M], Mark]) -> tuple[ResumePoint, ...]:
        """Return where walks were stopped.

        Args:
            mark: Makes a mark of what is kept of it.
        """
        return tuple(
            ResumePoint(**{**msgspec.structs.asdict(one), "mark": None if one.mark is None else mark(one.mark)})
            for one in self.resume_points
        )


class WindowResumePlace(Form):
    """Where a walk by windows was stopped: see ``WindowResumePoint``."""

    windows: tuple[tuple[Day, Day], ...]
    position: Count = 0
    total: Count | None = None
    known_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a window that ends before it begins."""
        if any(first > last for first, last in self.windows):
            raise ValueError("A window ends before it begins")


class WindowPlace(Form):
    """The place in a list that is read by windows.

    Attributes:
        resume_point: Where the last walk was stopped, if it was.
        known_ids: Ids by which the list is recognized.
        walked_at: When the list was last walked whole.
        latest: While a walk is stopped: the latest rows that it has seen, each its replication value and id.
        began: While a walk is stopped: when it began; no bookmark of it may be later.
        bookmark: The latest replication value of the walks that came to their end.
        since: The `start_date` down to which rows have come; None: all have.
    """

    resume_point: WindowResumePlace | None = None
    known_ids: tuple[str, ...] = ()
    walked_at: Aware | None = None
    latest: tuple[tuple[Moment, str], ...] = ()
    began: Moment | None = None
    bookmark: Moment | None = None
    since: Moment | None = None

    @property
    def shown(self) -> str | None:
        """The bookmark."""
        return self.bookmark

    @property
    def moments(self) -> list[str]:
        """The bookmark, and when the walk began that is stopped."""
        return [one for one in (self.bookmark, self.began) if one]

    def note_resume_point(self, resume_point: WindowResumePoint) -> None:
        """Note where the walk stands."""
        windows = tuple((one.first, one.last) for one in resume_point.windows)
        self.resume_point = WindowResumePlace(**{**vars(resume_point), "windows": windows})

    def stopped(self) -> WindowResumePoint | None:
        """Return where the last walk was stopped; None if it was not, or after its last page."""
        if self.resume_point is None or not self.resume_point.windows:
            return None
        windows = tuple(DateWindow(first, last) for first, last in self.resume_point.windows)
        return WindowResumePoint(**{**msgspec.structs.asdict(self.resume_point), "windows": windows})


class AskedPlace(Form, Generic[W]):
    """What of a parent's records was asked about.

    Attributes:
        walk: The place in the parent.
        keys: The keys of the records.
        ended_at: When a walk of the parent first came to its end.
        since: The latest `start_date` with which any of them was asked about; None: without one.
    """

    walk: W | None = None
    keys: list[str] = []
    ended_at: Aware | None = None
    since: Moment | None = None


class AboutPlace(Form):
    """The place of a stream that asks about others' records; its ``parents`` hold an ``AskedPlace`` each.

    Attributes:
        latest: The latest replication value that has come, of a stream that has one.
    """

    latest: Moment | None = None

    @property
    def shown(self) -> str | None:
        """The latest replication value."""
        return self.latest


def places_about(walks: Mapping[str, Any]) -> Any:
    """Return the kind of ``AboutPlace`` for some parents.

    Args:
        walks: The kind of place in each, by its name.
    """
    fields = [(name, AskedPlace[walk] | None, None) for name, walk in walks.items()]  # type: ignore[valid-type]
    parents = msgspec.defstruct("Parents", fields, bases=(Form,))
    parents_field = ("parents", parents, msgspec.field(default_factory=parents))
    return msgspec.defstruct("AboutPlaceOf", [parents_field], bases=(AboutPlace,))


class SearchPlace(Form):
    """How far a search has been bought.

    Attributes:
        filters: What tells its filters from others.
        began: The day of its first page.
        next: The page to buy next.
        done: Whether all pages are bought.
        pages: How many there are.
        seen: How many rows have come.
        ignored: Whether Apollo ignores the filters.
    """

    filters: str
    began: Day
    next: Annotated[int, msgspec.Meta(ge=1)] = 1
    done: bool = False
    pages: Count | None = None
    seen: Count = 0
    ignored: bool = False


class SearchesPlace(Form):
    """How far each search has been bought, by its name."""

    searches: dict[str, SearchPlace] = {}


class NewsGroup(Form):
    """Companies whose news are asked for in one request.

    Attributes:
        ids: The companies.
        until: The last day.
        since: The first day.
        page: The page to buy next; 0: there are no more.
        pages: How many there are.
        seen: How many articles have come.
    """

    ids: Annotated[list[str], msgspec.Meta(min_length=1)]
    until: Day
    since: Day | None = None
    page: Count = 1
    pages: Count | None = None
    seen: Count = 0


class NewsPlace(Form):
    """The group that is not done, and the moment of the latest article."""

    open: NewsGroup | None = None
    latest: Moment | None = None

    @property
    def shown(self) -> str | None:
        """The moment of the latest article."""
        return self.latest


class ExportsPlace(Form):
    """Up to which moment conversations are exported."""

    exported_until: Moment | None = None


class ReportsPlace(Form):
    """The report that the next run begins with."""

    next: str | None = None


class RecordsPlace(Form, Generic[W]):
    """The place in the stream whose records name what to buy."""

    source: W | None = None


# Bookmarks: a place, and what only grows


class Bookmark(Form, Generic[P]):
    """All that is remembered of a stream.

    Attributes:
        place: Where the next run goes on.
        replication_key: For people and runners to look at, as its value; nothing reads them.
        replication_key_value: How far the stream was read.
    """

    place: tuple[P]
    replication_key: Any = None
    replication_key_value: Any = None


class Buys(Bookmark[P], Generic[P]):
    """Of a stream that buys records: digests of what they are known by."""

    bought: ByDay[Digests] = {}


class BuysPages(Bookmark[SearchesPlace]):
    """Of searches of companies: the ids of those found."""

    found: ByDay[list[str]] = {}


class BuysPeople(Buys[RecordsPlace[ListPlace[Moment]]]):
    """Of people's enrichment: the requests whose results come later."""

    pending: ByDay[list[str]] = {}


class FetchesResults(Bookmark[Nowhere]):
    """Of those results: the requests that have ended, since their results came or never will."""

    ended: ByDay[list[str]] = {}


class ExportOrder(Form):
    """An export that is paid for."""

    start_time: Moment
    end_time: Moment
    requested_at: Moment
    booked: Count


class BuysExports(Bookmark[ExportsPlace]):
    """Of exports: what was ordered, by its id, and the ids of what has ended, since it was fetched or never will be."""

    pending: ByDay[dict[str, ExportOrder]] = {}
    ended: ByDay[list[str]] = {}


class Reading(Form):
    """What Apollo's meter showed as a run began.

    Attributes:
        consumed: What the team had used, by kind of credits.
        not_shown: What the tap had spent and the meter might not show yet.
    """

    consumed: dict[str, int]
    not_shown: Count = 0


class Spent(Form):
    """What was spent in credits, and the first and the last day of the billing cycle as Apollo last showed it.

    An entry below 0 takes back what an earlier run had booked too high.
    """

    days: ByDay[int] = {}
    cycle: tuple[Day, Day] | None = None
    readings: ByDay[Reading] = {}


def entries(grown: ByDay[T]) -> Iterator[T]:
    """Yield what the runs have written, the oldest first."""
    for day in sorted(grown):
        yield from (grown[day][run] for run in sorted(grown[day]))


def expire(grown: ByDay[Any], before: datetime.date) -> None:
    """Drop what is of earlier days."""
    for day in [day for day in grown if day < before]:
        del grown[day]


# From the state and back


class Memory:
    """What one stream remembers, taken from the state and put back.

    Attributes:
        held: All of it, of the stream's kind of ``Bookmark``.
    """

    def __init__(self, bookmark: dict[str, Any], kind: Any, replication_key: str | None = None) -> None:
        """Read a bookmark.

        Args:
            bookmark: A stream's part of the state; empty before its first run. ``write`` changes it.
            kind: The stream's kind of ``Bookmark``.
            replication_key: The stream's, if it has one.

        Raises:
            StateError: It is of another form.
        """
        if bookmark and PLACE not in bookmark:
            raise StateError("is of an older form")
        self._bookmark = bookmark
        self._replication_key = replication_key
        self.held: Any = decoded(bookmark or {PLACE: [{}]}, kind)

    @property
    def place(self) -> Any:
        """Where the next run goes on."""
        return self.held.place[0]

    def write(self) -> None:
        """Put all of it into the state."""
        if shown := self.place.shown:
            self.held.replication_key, self.held.replication_key_value = self._replication_key, shown
        encoded_ = encoded(self.held)
        self._bookmark.clear()
        self._bookmark.update(encoded_)


def decoded(value: Any, kind: Any) -> Any:
    """Return what was encoded, as what it is.

    Raises:
        StateError: It is of another form.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_moment, str_keys=True)
    except msgspec.ValidationError as error:
        raise StateError(f"cannot be used, as it is of an unknown form ({error})") from error


def encoded(held: Any) -> dict[str, Any]:
    """Return what is remembered as JSON."""
    state: dict[str, Any] = msgspec.to_builtins(held, enc_hook=str, str_keys=True)
    return state


def refusal(stream: str, error: StateError) -> ApolloError:
    """Return what to raise if it is not known what a stream has bought: rather buy nothing than all of it again."""
    return ApolloError(
        f"the state does not tell what was bought (it {error}), and nothing is bought twice: "
        f"repair `bookmarks.{stream}`, or remove it to buy anew."
    )


def _moment(kind: type, value: Any) -> Any:
    """Read a moment: the only kind that is not one of JSON's or Python's."""
    read = moment(value) if kind is Moment else None
    if read is None or read < _EARLIEST:
        raise ValueError("Expected a moment")
    return Moment(read)
