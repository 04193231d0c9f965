"""What domains and people are known by: one name each, however it is spelled."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tap_apollo.singer.conform import PLACEHOLDER_EMAIL

if TYPE_CHECKING:
    from collections.abc import Mapping

#: An address that holds a domain: scheme, user, `www.`, the domain, and what follows it.
_ADDRESS = re.compile(r"(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/?#@]*@)?(?:www\.(?=[^/?#:]*\.))*([^/?#:]*).*", re.DOTALL)

#: A person's profile on any of LinkedIn's hosts.
_PROFILE = re.compile(r"(?:^|[/.])linkedin\.[a-z.]+/((?:in|pub)/[^/?#]+)")


def domain_name(text: Any) -> str:
    """Return the domain in a text, without scheme, `www.`, path, port, case and spaces; empty if there is none."""
    found = _ADDRESS.fullmatch(_plain(text))
    return found[1].strip(".") if found else ""


def person_names(clues: Mapping[str, Any]) -> list[str]:
    """Return every name that tells a person from all others: Apollo's id, the address, the profile.

    Args:
        clues: What is known of the person, by Apollo's names.
    """
    email = _plain(clues.get("email"))
    profile = _PROFILE.search(unquote(_plain(clues.get("linkedin_url"))))
    names = [
        clues.get("id"),
        email if "@" in email and email != PLACEHOLDER_EMAIL else None,
        _plain(clues.get("hashed_email")),
        profile and profile[1],
    ]
    return [f"{name}" for name in names if name]


def described(clues: Mapping[str, Any]) -> list[str]:
    """Return the names of a person; of one without any, the description, which Apollo would answer in the same way."""
    plain = {name: " ".join(f"{value}".split()).lower() for name, value in clues.items()}
    return person_names(clues) or [json.dumps(plain, sort_keys=True)]


def _plain(text: Any) -> str:
    return "".join(text.split()).lower() if isinstance(text, str) else ""
