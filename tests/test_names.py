"""One thing has one name, however it is spelled."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tap_apollo.names import described, domain_name, person_names
from tap_apollo.singer.conform import PLACEHOLDER_EMAIL

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8).filter(lambda label: label != "www")


@hypothesis.given(
    domain=st.lists(labels, min_size=2, max_size=4).map(".".join),
    scheme=st.sampled_from(["", "http://", "https://", "HTTPS://", "//"]),
    user=st.sampled_from(["", "me@", "me:secret@"]),
    www=st.sampled_from(["", "www.", "WWW."]),
    after=st.sampled_from(["", "/", ":8080", ":443/a/b?c=d@e#f", "/a/www.b", "?q=1", "."]),
    space=st.sampled_from(["", " ", "\t", "\u00a0"]),
    upper=st.booleans(),
)
def test_a_domain_has_one_name(
    domain: str, *, scheme: str, user: str, www: str, after: str, space: str, upper: bool
) -> None:
    written = domain.upper() if upper else domain
    user = user if scheme else ""
    assert domain_name(f"{space}{scheme}{user}{www}{written}{after}{space}") == domain
    assert domain_name(domain_name(domain)) == domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        (None, ""),
        (["acme.example"], ""),
        ("", ""),
        ("https://", ""),
        (" / ", ""),
        ("www.com", "www.com"),
        ("www.www.acme.example", "acme.example"),
    ],
)
def test_these_are_domains_too_or_none(text: Any, domain: str) -> None:
    assert domain_name(text) == domain


ADA = {
    "id": "5" * 24,
    "email": "ada@acme.example",
    "linkedin_url": "http://www.linkedin.com/in/ada-lovelace",
}


@pytest.mark.parametrize(
    "clues",
    [
        {"email": " Ada@ACME.example "},
        {"linkedin_url": "https://uk.linkedin.com/in/Ada-Lovelace/?trk=x"},
        {"linkedin_url": "linkedin.com/in/ada%2Dlovelace/de"},
        {"linkedin_url": "http://www.linkedin.com/in/ada-lovelace#top", "email": "other@acme.example"},
        {"id": "5" * 24, "name": "Somebody else"},
    ],
)
def test_a_person_is_known_by_every_name(clues: dict[str, str]) -> None:
    assert {*person_names(clues)} & {*person_names(ADA)}
    assert described(clues) == person_names(clues)


@pytest.mark.parametrize(
    "clues",
    [
        {},
        {"email": PLACEHOLDER_EMAIL},
        {"email": "n/a"},
        {"email": {"a": "b@c"}, "linkedin_url": ["linkedin.com/in/ada"]},
        {"email": None, "linkedin_url": None, "id": None},
        {"linkedin_url": "https://www.linkedin.com/"},
        {"linkedin_url": "https://www.linkedin.com/company/acme"},
        {"linkedin_url": "https://notlinkedin.com/in/ada"},
    ],
)
def test_what_many_may_have_in_common_is_no_name(clues: dict[str, Any]) -> None:
    assert person_names(clues) == []


def test_without_a_name_a_person_is_what_describes_him() -> None:
    (one,) = described({"name": "Alan  Turing", "organization_name": "Example"})
    assert [one] == described({"organization_name": "example ", "name": "alan turing"})
    assert [one] != described({"name": "Alan Turing", "organization_name": "Other"})
