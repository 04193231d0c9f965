"""Orders, and what holds still in them and what does not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apollo_sandbox.collection import Collection
from apollo_sandbox.entities import Account
from apollo_sandbox.ids import Dice
from apollo_sandbox.listing import shuffled_within_ties

if TYPE_CHECKING:
    from .client import Client
    from .conftest import Served


@pytest.mark.parametrize("order", ["contact_created_at", "contact_updated_at"])
def test_sorted_descending_unless_told_otherwise(client: Client, order: str) -> None:
    field = order.removeprefix("contact_")
    down = [row[field] for row in client.walk("contacts/search", "contacts", sort_by_field=order)]
    up = client.search("contacts/search", per_page=100, sort_by_field=order, sort_ascending=True)["contacts"]
    assert len(down) == 600
    assert down == sorted(down, reverse=True)
    assert [row[field] for row in up] == down[:-101:-1]


def test_direction_means_nothing_without_an_order(client: Client) -> None:
    plain = [row["id"] for row in client.search("contacts/search")["contacts"]]
    assert [row["id"] for row in client.search("contacts/search", sort_ascending=True)["contacts"]] == plain


def test_unsorted_is_neither_by_creation_nor_by_update(client: Client) -> None:
    rows = list(client.walk("contacts/search", "contacts"))
    for field in ("created_at", "updated_at"):
        values = [row[field] for row in rows]
        assert values not in (sorted(values), sorted(values, reverse=True))
    assert len({row["id"] for row in rows}) == 600


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("contacts/search", "updated_at"),
        ("contacts/search", "default"),
        ("accounts/search", "contact_updated_at"),
        ("tasks/search", "created_at"),
    ],
)
def test_an_unknown_order_is_refused(client: Client, path: str, order: str) -> None:
    response = client.post(path, sort_by_field=order)
    assert response.status_code == 422
    assert response.json() == {"error": "Invalid sort criteria", "skip_alert_dialog": True}


@pytest.mark.parametrize("order", ["amount", "is_closed", "is_won"])
def test_deals_sort_by_three_things(client: Client, order: str) -> None:
    rows = client.read("opportunities/search", per_page=100, sort_by_field=order)["opportunities"]
    values = [row[order] or 0 for row in rows]
    assert values == sorted(values, reverse=True)
    assert client.get("opportunities/search", sort_by_field="closed_date").status_code == 422


def test_accounts_sort_by_an_update_they_never_show(served: Served) -> None:
    world = served.sandbox.world
    rows = list(served.client.walk("accounts/search", "accounts", sort_by_field="account_updated_at"))
    hidden = [account.updated for account in map(world.accounts.get, [row["id"] for row in rows]) if account]
    assert hidden == sorted(hidden, reverse=True)
    assert len(hidden) == len(world.accounts)
    assert all("updated_at" not in row for row in rows)


def test_imports_leave_heavy_ties(served: Served) -> None:
    order = served.sandbox.world.contacts.order("contact_created_at").rows
    for start in range(0, 600, 100):
        assert 12 <= len({contact.created for contact in order[start : start + 100]}) <= 45
    shares = Counter(contact.created for contact in order)
    assert max(shares.values()) >= 8
    assert len({contact.updated for contact in order}) > len(shares)


def test_rows_that_tie_change_places_between_requests(client: Client) -> None:
    def read() -> list[tuple[str, str]]:
        rows = client.search("contacts/search", per_page=100, sort_by_field="contact_created_at")["contacts"]
        return [(row["created_at"], row["id"]) for row in rows]

    first, second = read(), read()
    assert [created for created, _ in first] == [created for created, _ in second]
    assert first != second


def test_an_edge_through_a_tie_loses_rows_to_a_single_walk(client: Client) -> None:
    seen: Counter[str] = Counter()
    for page in range(1, 41):
        body = {"per_page": 5, "page": page, "sort_by_field": "contact_created_at"}
        seen.update(row["id"] for row in client.search("contacts/search", **body)["contacts"])
    assert sum(seen.values()) == 200
    assert len(seen) < 200


def _accounts(updates: list[int]) -> Collection[Account]:
    collection: Collection[Account] = Collection({"updated": lambda one: one.updated})
    collection.load([Account(str(number), number, 0, when, 0, 0, None, ()) for number, when in enumerate(updates)])
    return collection


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.data())
def test_any_window_shows_each_position_once_and_in_order(updates: list[int], data: st.DataObject) -> None:
    order = _accounts(updates).order("updated")
    first = data.draw(st.integers(0, len(updates)))
    after = data.draw(st.integers(first, len(updates)))
    rows = shuffled_within_ties(order, first, after, Dice(data.draw(st.integers(0, 99))))
    assert [row.updated for row in rows] == sorted(updates)[first:after]
    assert len({row.id for row in rows}) == len(rows)


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 5), max_size=20),
    st.lists(st.tuples(st.sampled_from(["add", "change", "remove"]), st.integers(0, 30), st.integers(0, 5))),
)
def test_an_order_stays_sorted_through_edits(updates: list[int], edits: list[tuple[str, int, int]]) -> None:
    collection = _accounts(updates)
    order = collection.order("updated")
    for number, (verb, which, value) in enumerate(edits):
        living = list(collection)
        if verb == "add" or not living:
            collection.add(Account(f"new{number}", 100 + number, 0, value, 0, 0, None, ()))
            continue
        row = living[which % len(living)]
        if verb == "remove":
            collection.remove(row)
            assert collection.was_deleted(row.id)
        else:
            with collection.changing(row):
                row.updated = value
    assert [row.updated for row in order.rows] == sorted(row.updated for row in collection)
    assert {row.id for row in order.rows} == set(collection.ids)
