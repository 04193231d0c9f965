"""Searching Apollo's database of people and companies, which nobody edits."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from apollo_sandbox.ids import scramble

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from apollo_sandbox.identities import Company, Identities, Person
    from apollo_sandbox.settings import Sizes

_REMEMBERED_SEARCHES = 16


class Directory:
    """People and companies by number, in an order that has nothing to do with their age."""

    def __init__(self, identities: Identities, sizes: Sizes) -> None:
        """Search among these."""
        self._identities = identities
        self._sizes = sizes
        self._order = lru_cache(2)(_scattered)
        self._found: dict[Hashable, list[int]] = {}

    def people(self, key: Hashable, predicate: Callable[[Person], bool] | None) -> list[int]:
        """Give the numbers of the people who satisfy the predicate that `key` stands for."""
        everybody = self._order(self._sizes.people)
        if predicate is None:
            return everybody
        # Not through the cache of identities: a search passes by everybody once.
        of = self._identities.person.__wrapped__
        return self._remembered(("people", key), lambda: [one for one in everybody if predicate(of(one))])

    def companies(self, key: Hashable, predicate: Callable[[Company], bool] | None) -> list[int]:
        """Give the numbers of the companies that satisfy the predicate `key` stands for."""
        all_companies = self._order(self._sizes.organizations)
        if predicate is None:
            return all_companies
        of = self._identities.company.__wrapped__
        return self._remembered(("companies", key), lambda: [one for one in all_companies if predicate(of(one))])

    def _remembered(self, key: Hashable, search: Callable[[], list[int]]) -> list[int]:
        if key not in self._found:
            if len(self._found) >= _REMEMBERED_SEARCHES:
                self._found.pop(next(iter(self._found)))
            self._found[key] = search()
        return self._found[key]


def _scattered(size: int) -> list[int]:
    return sorted(range(size), key=scramble)
