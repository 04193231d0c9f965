"""How lists are read while people change them: pure logic, without HTTP and without Singer.

Read ``reader`` first: it holds the rules by which nothing is lost between two pages of one list. ``walks`` puts them
to use for a stream: newest first down to ground that a ``mark`` says is covered, on from where earlier runs were
stopped, in slices past what Apollo shows of one list. ``windows`` does the same by dates.
"""

from tap_apollo.paging.marks import Frontier, Mark, TimeMark, digest
from tap_apollo.paging.pages import DISPLAY_LIMIT, PER_PAGE, Page, PageRequest, Record
from tap_apollo.paging.walks import FilterIgnoredError, Listing, ListWalk, Outcome, ResumePoint, Walk, WholePages
from tap_apollo.paging.windows import EVERYTHING, DateWindow, WindowedListing, WindowResumePoint, WindowWalk

__all__ = [
    "DISPLAY_LIMIT",
    "EVERYTHING",
    "PER_PAGE",
    "DateWindow",
    "FilterIgnoredError",
    "Frontier",
    "ListWalk",
    "Listing",
    "Mark",
    "Outcome",
    "Page",
    "PageRequest",
    "Record",
    "ResumePoint",
    "TimeMark",
    "Walk",
    "WholePages",
    "WindowResumePoint",
    "WindowWalk",
    "WindowedListing",
    "digest",
]
