"""The least that any client does: ask for a page, read its JSON, write a line per row. The measure of the others."""

from __future__ import annotations

import json
import sys

import requests


def main(url: str) -> None:
    """Read all contacts."""
    session = requests.Session()
    session.headers["x-api-key"] = "sandbox-key"
    number, pages = 1, 1
    while number <= pages:
        body = {"page": number, "per_page": 100, "sort_by_field": "contact_updated_at", "sort_ascending": False}
        response = session.post(f"{url}/contacts/search", json=body, timeout=60)
        response.raise_for_status()
        reply = response.json()
        for row in reply["contacts"]:
            sys.stdout.write(json.dumps({"type": "RECORD", "stream": "contacts", "record": row}) + "\n")
        number, pages = number + 1, reply["pagination"]["total_pages"]


if __name__ == "__main__":
    main(sys.argv[1])
