"""Page sizes, defaults, the display limit, totals, and the lists that page in other ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .conftest import Serve, Served

_SEARCHES = (
    "contacts/search",
    "accounts/search",
    "tasks/search",
    "emailer_campaigns/search",
    "mixed_people/api_search",
)


def test_defaults(client: Client) -> None:
    assert len(client.search("contacts/search")["contacts"]) == 25
    assert len(client.search("tasks/search")["tasks"]) == 10


@pytest.mark.parametrize("path", _SEARCHES)
def test_more_than_a_hundred_is_refused_not_clamped(client: Client, path: str) -> None:
    response = client.post(path, per_page=101)
    assert response.status_code == 422
    assert response.json()["error"] == "Per page not supported"
    assert client.post(path, per_page=100).status_code == 200


def test_tasks_refuse_it_in_fewer_words(client: Client) -> None:
    assert set(client.post("contacts/search", per_page=101).json()) == {"error", "error_details"}
    assert set(client.post("tasks/search", per_page=101).json()) == {"error"}


def test_a_page_of_nothing_is_refused(client: Client) -> None:
    response = client.get("emailer_messages/search", per_page=0)
    assert (response.status_code, response.json()["error"]) == (422, "An error occurred. Per page cannot be 0.")


@pytest.mark.parametrize("path", _SEARCHES)
def test_the_display_limit_is_a_refusal_not_an_empty_page(client: Client, path: str) -> None:
    assert client.post(path, page=500, per_page=100).status_code == 200
    response = client.post(path, page=501, per_page=100)
    assert response.status_code == 422
    assert response.json()["error"] == "Page * per page number is over threshold."
    assert client.post(path, page=2001, per_page=25).status_code == 422


def test_emails_say_so_in_their_own_words(client: Client) -> None:
    response = client.get("emailer_messages/search", page=501, per_page=100)
    assert response.json()["error"].startswith("Invalid parameter passed in. Page * per page")


def test_total_pages_go_beyond_the_display_limit(serve: Serve) -> None:
    with serve(contacts=60, display_limit=30) as (_, client):
        assert client.search("contacts/search", per_page=10)["pagination"] == {
            "page": 1,
            "per_page": 10,
            "total_entries": 60,
            "total_pages": 6,
        }
        assert client.post("contacts/search", per_page=10, page=3).status_code == 200
        assert client.post("contacts/search", per_page=10, page=4).status_code == 422


def test_past_the_last_page_is_empty(client: Client) -> None:
    answer = client.search("contacts/search", page=400, per_page=100)
    assert answer["contacts"] == []
    assert answer["pagination"]["total_entries"] == 600


def test_nothing_found_is_no_page_at_all(client: Client) -> None:
    pagination = client.search("contacts/search", q_keywords="zzzzzz")["pagination"]
    assert (pagination["total_entries"], pagination["total_pages"]) == (0, 0)


def test_the_page_may_stand_in_query_or_body_but_not_in_a_nested_object(client: Client) -> None:
    assert len(client.search("contacts/search?per_page=7")["contacts"]) == 7
    assert len(client.search("contacts/search", per_page=7)["contacts"]) == 7
    assert len(client.search("contacts/search", pagination={"per_page": 7})["contacts"]) == 25


def test_emails_are_walked_until_a_short_page(served: Served) -> None:
    seen = []
    for page in range(1, 100):
        answer = served.client.read("emailer_messages/search", page=page, per_page=100)
        assert "pagination" not in answer
        seen += [email["id"] for email in answer["emailer_messages"]]
        if len(answer["emailer_messages"]) < 100:
            break
    assert sorted(seen) == sorted(served.sandbox.world.outreach_emails.ids)


def test_notes_have_skip_and_limit_and_need_a_relation(served: Served) -> None:
    client, ids = served.client, served.sandbox.world.contacts.ids[:60]
    everything = client.read("notes", **{"contact_ids[]": ids, "limit": 100})["notes"]
    assert len(everything) > 25
    assert len(client.read("notes", **{"contact_ids[]": ids})["notes"]) == 25
    some = client.read("notes", **{"contact_ids[]": ids, "skip": 5, "limit": 3})
    assert set(some) == {"notes"}
    assert [note["id"] for note in some["notes"]] == [note["id"] for note in everything[5:8]]
    response = client.get("notes")
    assert (response.status_code, response.json()["error"]) == (400, "At least one argument is required")
    assert client.get("notes", contact_id=ids[0], sort_direction="up").status_code == 400
    assert client.get("notes", contact_id=ids[0], sort_by_field="id").status_code == 400


def test_notes_come_newest_first_and_may_be_cut_by_date(served: Served) -> None:
    ids = served.sandbox.world.contacts.ids[:40]
    notes = served.client.read("notes", **{"contact_ids[]": ids, "limit": 100})["notes"]
    dates = [note["created_at"][:19] for note in notes]
    assert dates == sorted(dates, reverse=True)
    middle = dates[len(dates) // 2][:10]
    later = served.client.read("notes", **{"contact_ids[]": ids, "limit": 100, "start_date": middle})["notes"]
    assert [note["id"] for note in later] == [note["id"] for note in notes if note["created_at"][:10] >= middle]


def test_job_postings_have_no_pagination(served: Served) -> None:
    world = served.sandbox.world
    counts = []
    for serial in range(20):
        company = world.people.company(serial)
        answer = served.client.read(f"organizations/{company.organization_id}/job_postings", per_page=10_000)
        assert set(answer) == {"organization_job_postings"}
        counts.append(len(answer["organization_job_postings"]))
    assert 0 in counts
    assert max(counts) > 1


def test_news_come_at_most_twenty_five_to_a_page(served: Served) -> None:
    ids = [served.sandbox.world.people.company(serial).organization_id for serial in range(9)]
    answer = served.client.search("news_articles/search", organization_ids=ids)
    assert set(answer) == {"pagination", "news_articles"}
    assert len(answer["news_articles"]) == 25
    assert served.client.post("news_articles/search", organization_ids=ids, per_page=26).status_code == 422
    assert served.client.post("news_articles/search").json()["error"] == "organization_ids is required"


def test_the_activity_feed_clamps_its_page_size(served: Served) -> None:
    enrolled = next(one for one in served.sandbox.world.contacts if one.enrollments)
    feed = served.client.search("emailer_campaigns/activity_feed", contact_id=enrolled.id, per_page=0)
    assert set(feed) == {"contact_id", "events"}
    assert len(feed["events"]) == 1
    assert served.client.post("emailer_campaigns/activity_feed", contact_id="0" * 24).status_code == 404
