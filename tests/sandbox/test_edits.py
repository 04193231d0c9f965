"""Colleagues who edit while a client reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Serve


def test_a_touched_contact_goes_to_the_front(serve: Serve) -> None:
    with serve() as (sandbox, client):
        contact = sandbox.world.contacts.order("contact_updated_at").rows[0]
        before = client.read(f"contacts/{contact.id}")["contact"]
        sandbox.world.touch_contact(contact.id, stage=3)
        first = client.search("contacts/search", sort_by_field="contact_updated_at")["contacts"][0]
        assert first["id"] == contact.id
        assert first["updated_at"] >= "2026-09-30T12:00:00.000Z" > before["updated_at"]
        assert first["title"] != before["title"]
        assert first["contact_stage_id"] == sandbox.world.catalog.contact_stages[3].id


def test_contacts_come_and_go(serve: Serve) -> None:
    with serve() as (sandbox, client):
        added = sandbox.world.add_contact()
        sandbox.world.delete_contact(sandbox.world.contacts.ids[0])
        sandbox.world.delete_contact(sandbox.world.contacts.ids[0])
        rows = client.search("contacts/search", per_page=100, sort_by_field="contact_created_at")
        assert rows["contacts"][0]["id"] == added
        assert rows["contacts"][0]["person_id"] is None
        assert rows["pagination"]["total_entries"] == sandbox.counts()["contacts"] == 59
        assert {row["id"] for row in rows["contacts"]} == set(sandbox.world.contacts.ids)


def test_an_account_can_move_without_showing_why(serve: Serve) -> None:
    with serve(contacts=200) as (sandbox, client):
        world = sandbox.world

        def front() -> dict[str, object]:
            row: dict[str, object] = client.search("accounts/search", sort_by_field="account_updated_at")["accounts"][0]
            return row

        account = world.accounts.order("account_updated_at").rows[0]
        before = client.read(f"accounts/{account.id}")["account"]
        world.touch_account(account.id, visible=False)
        assert front()["id"] == account.id
        assert client.read(f"accounts/{account.id}")["account"] == before
        world.touch_account(account.id)
        assert client.read(f"accounts/{account.id}")["account"] != before


def test_a_deleted_account_leaves_its_contacts(serve: Serve) -> None:
    with serve() as (sandbox, client):
        contact = next(one for one in sandbox.world.contacts if one.account)
        assert contact.account is not None
        sandbox.world.delete_account(contact.account.id)
        row = client.read(f"contacts/{contact.id}")["contact"]
        assert row["account_id"] is None
        assert "account" not in row


def test_enrolling_is_no_update(serve: Serve) -> None:
    with serve() as (sandbox, client):
        world = sandbox.world
        contact = next(one for one in world.contacts if not one.enrollments)
        before = client.read(f"contacts/{contact.id}")["contact"]["updated_at"]
        statuses = sandbox.counts()["contact_sequence_statuses"]
        world.enroll_contact(contact.id, world.sequences.ids[0])
        world.enroll_contact(contact.id, world.sequences.ids[0], "finished")
        row = client.read(f"contacts/{contact.id}")["contact"]
        assert [status["status"] for status in row["contact_campaign_statuses"]] == ["finished"]
        assert row["updated_at"] == before
        assert sandbox.counts()["contact_sequence_statuses"] == statuses + 1


def test_edits_between_requests_change_what_a_walk_meets(
    serve: Serve,
) -> None:
    def totals() -> list[tuple[int, int, int, int]]:
        with serve(contacts=300, edits_per_request=2.5, seed=5) as (sandbox, client):
            seen = []
            for _ in range(30):
                client.post("contacts/search", per_page=1, sort_by_field="contact_updated_at")
                counts = sandbox.counts()
                seen.append((counts["contacts"], counts["accounts"], counts["deals"], counts["tasks"]))
            return seen

    first = totals()
    assert all(len(set(column)) > 1 for column in zip(*first, strict=True))
    assert first == totals()


def test_lists_agree_with_the_counts_after_many_edits(serve: Serve) -> None:
    with serve(contacts=120, plan="unlimited") as (sandbox, client):
        client.search("contacts/search", sort_by_field="contact_updated_at")
        client.search("tasks/search", sort_by_field="task_due_at")
        sandbox.edit(200)
        counts = sandbox.counts()
        for path, key, order in (
            ("contacts/search", "contacts", "contact_updated_at"),
            ("accounts/search", "accounts", "account_updated_at"),
            ("tasks/search", "tasks", "task_due_at"),
        ):
            everything = {row["id"] for row in client.walk(path, key)}
            assert len(everything) == counts[key]
            assert client.search(path, sort_by_field=order)["pagination"]["total_entries"] == counts[key]


def test_every_edit_by_name(serve: Serve) -> None:
    with serve(contacts=100) as (sandbox, client):
        for noun, key in (("contact", "contacts"), ("account", "accounts"), ("deal", "deals"), ("task", "tasks")):
            before = sandbox.counts()[key]
            added = client.control("POST", "edit", edit=f"add_{noun}").json()["edits"][0]["id"]
            assert sandbox.counts()[key] == before + 1
            assert client.control("POST", "edit", edit=f"touch_{noun}", **{f"{noun}_id": added}).status_code == 200
            assert client.control("POST", "edit", edit=f"delete_{noun}", **{f"{noun}_id": added}).status_code == 200
            assert sandbox.counts()[key] == before
            gone = client.control("POST", "edit", edit=f"delete_{noun}", **{f"{noun}_id": added})
            assert (gone.status_code, added in gone.json()["error"]) == (400, True)
        assert len(client.control("POST", "edit", count=4).json()["edits"]) == 4
        assert client.control("POST", "edit", edit="steal").status_code == 400


def test_nothing_to_edit_is_an_error(serve: Serve) -> None:
    with serve() as (sandbox, _), pytest.raises(LookupError, match="nothing living"):
        sandbox.world.touch_contact("0" * 24)


def test_a_task_has_no_stage_to_move_to(serve: Serve) -> None:
    with serve() as (sandbox, client):
        task = sandbox.world.tasks.ids[0]
        refused = client.control("POST", "edit", edit="touch_task", task_id=task, stage=1)
        assert (refused.status_code, refused.json()) == (400, {"error": "a task has no stage"})
