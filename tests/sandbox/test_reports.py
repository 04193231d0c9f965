"""Analytics reports have the form of the vendor's document, and totals that add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .conftest import Served

SENT, REPLIED, RATE, CALLS = "num_emails_sent", "num_emails_replied", "percent_emails_replied", "num_phone_calls"
USERS = {"group_by": [{"name": "smart_user_id"}]}
STAGES = {"pivot_group_by": [{"name": "contact_stage_id"}]}
TOTALS = {"group_by_totals_selected": True, "pivot_group_by_totals_selected": True}


def ask(client: Client, *metrics: str, **body: Any) -> Any:
    return client.search("reports/sync_report", metrics=[{"value": one} for one in metrics], **body)


def buckets(part: dict[str, Any], dimension: str) -> list[dict[str, Any]]:
    assert part.keys() == {dimension}
    assert part[dimension].keys() == {"buckets"}
    found: list[dict[str, Any]] = part[dimension]["buckets"]
    return found


def test_a_reply_has_three_parts_ignored_filters_and_goals(client: Client) -> None:
    answer = ask(client, SENT)
    assert answer.keys() == {"response", "incompatible_filters", "goals"}
    assert answer["response"].keys() == {
        "table_response",
        "group_by_total_response",
        "pivot_group_by_total_response",
    }


def test_without_groups_metrics_stand_alone_a_ratio_with_its_denominator(client: Client) -> None:
    response = ask(client, SENT, RATE, **TOTALS)["response"]
    assert response["table_response"].keys() == {SENT, RATE, f"{RATE}_denominator"}
    assert 0 <= response["table_response"][RATE] <= 1
    assert response["group_by_total_response"] == response["pivot_group_by_total_response"] == {}


def test_groups_are_buckets_and_their_total_is_one_more_elsewhere(client: Client) -> None:
    response = ask(client, SENT, RATE, **USERS, **TOTALS)["response"]
    groups = buckets(response["table_response"], "smart_user_id")
    assert all(one.keys() == {"key", "readable_key", SENT, RATE, f"{RATE}_denominator"} for one in groups)
    users = {one["id"]: one["name"] for one in client.read("users/search", per_page=100)["users"]}
    assert {one["key"]: one["readable_key"] for one in groups} == users
    [total] = buckets(response["group_by_total_response"], "smart_user_id")
    assert (total["key"], total["readable_key"]) == ("total", "Total")
    assert total[SENT] == sum(one[SENT] for one in groups)
    assert total[f"{RATE}_denominator"] == sum(one[f"{RATE}_denominator"] for one in groups)
    assert response["pivot_group_by_total_response"] == {}


def test_a_pivot_has_its_own_groups_outside_and_the_rows_inside(client: Client) -> None:
    response = ask(client, SENT, **USERS, **STAGES, **TOTALS)["response"]
    stages = {one["id"]: one["name"] for one in client.read("contact_stages")["contact_stages"]}
    columns = buckets(response["table_response"], "contact_stage_id")
    assert all(one.keys() == {"key", "readable_key", "smart_user_id"} for one in columns)
    assert {one["key"]: one["readable_key"] for one in columns} == stages
    cells = {(row["key"], column["key"]): row[SENT] for column in columns for row in column["smart_user_id"]["buckets"]}
    for total in buckets(response["group_by_total_response"], "smart_user_id"):
        assert total[SENT] == sum(figure for (row, _), figure in cells.items() if row == total["key"])
    for total in buckets(response["pivot_group_by_total_response"], "contact_stage_id"):
        assert total[SENT] == sum(figure for (_, column), figure in cells.items() if column == total["key"])


def test_totals_come_only_if_wanted(client: Client) -> None:
    response = ask(client, SENT, **USERS, **STAGES)["response"]
    assert response["group_by_total_response"] == response["pivot_group_by_total_response"] == {}


@pytest.mark.parametrize("ascending", [True, False])
def test_groups_are_sorted_by_a_metric_and_cut(client: Client, *, ascending: bool) -> None:
    sorts = [{"asc": ascending, "metric": {"value": SENT}}]
    every = buckets(ask(client, SENT, **USERS, sorts=sorts)["response"]["table_response"], "smart_user_id")
    figures = [one[SENT] for one in every]
    assert figures == sorted(figures, reverse=not ascending)
    limited = {"group_by": [{"name": "smart_user_id", "limit": 2}]}
    cut = buckets(ask(client, SENT, **limited, sorts=sorts)["response"]["table_response"], "smart_user_id")
    assert cut == every[:2]


def test_groups_can_be_left_out_of_the_total_too(served: Served) -> None:
    left_out = served.sandbox.world.users.ids[0]
    response = ask(served.client, SENT, **USERS, **TOTALS, skip_group_by_values=[left_out])["response"]
    groups = buckets(response["table_response"], "smart_user_id")
    assert left_out not in {one["key"] for one in groups}
    [total] = buckets(response["group_by_total_response"], "smart_user_id")
    assert total[SENT] == sum(one[SENT] for one in groups)


def test_a_ratio_of_too_few_is_none(client: Client) -> None:
    table = ask(client, RATE, min_ratio_denominator=501)["response"]["table_response"]
    assert table[RATE] is None


def test_the_same_question_has_the_same_answer_and_another_question_another(client: Client) -> None:
    question = {"date_ranges": [{"modality": "all_time"}], "filters": {"smart_user_id": ["current"]}}
    assert ask(client, SENT, **question) == ask(client, SENT, **question)
    others: list[dict[str, Any]] = [{"filters": {}}, {"date_ranges": [{"modality": "today"}]}]
    for other in others:
        assert ask(client, SENT, **question, **USERS) != ask(client, SENT, **{**question, **other}, **USERS)


def test_a_custom_range_decides_which_months_there_are(client: Client) -> None:
    response = ask(
        client,
        SENT,
        group_by=[{"name": "smart_datetime_month"}],
        date_ranges=[{"modality": "custom_range"}],
        filters={"smart_datetime_range": {"min": "2023-12-31", "max": "2024-02-01"}},
    )["response"]
    months = buckets(response["table_response"], "smart_datetime_month")
    assert [(one["key"], one["readable_key"]) for one in months] == [
        ("2023-12-01", "Dec 2023"),
        ("2024-01-01", "Jan 2024"),
        ("2024-02-01", "Feb 2024"),
    ]


def test_a_filter_that_does_not_go_with_a_metric_is_ignored_and_said(client: Client) -> None:
    filters = {"emailer_campaign_ids": ["5" * 24], "smart_user_id": ["current"]}
    answer = ask(client, SENT, CALLS, filters=filters)
    assert answer["incompatible_filters"] == {"emailer_campaign_ids": [CALLS]}
    without = ask(client, SENT, CALLS, filters={"smart_user_id": ["current"]})
    tables = [one["response"]["table_response"] for one in (answer, without)]
    assert tables[0][CALLS] == tables[1][CALLS]
    assert tables[0][SENT] != tables[1][SENT]
    assert without["incompatible_filters"] == {}


def test_bad_reports(client: Client) -> None:
    missing = client.post("reports/sync_report")
    assert (missing.status_code, missing.json()) == (
        400,
        {"error": "param is missing or the value is empty: metrics"},
    )
    unknown = client.post("reports/sync_report", metrics=[{"value": "luck"}])
    assert (unknown.status_code, unknown.json()) == (400, {"error": "Invalid metric type"})
