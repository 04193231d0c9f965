"""How a list is read page by page: pure logic, without HTTP and without Singer.

A walk is a generator. It yields the page it wants, is sent the page that came, and returns its ``Outcome``.
"""

from tap_apollo.paging.pages import DISPLAY_LIMIT, Outcome, Page, PageRequest, Walk
from tap_apollo.paging.walks import DateWindow, date_windows, nothing, one_page, whole_list, windowed

__all__ = [
    "DISPLAY_LIMIT",
    "DateWindow",
    "Outcome",
    "Page",
    "PageRequest",
    "Walk",
    "date_windows",
    "nothing",
    "one_page",
    "whole_list",
    "windowed",
]
