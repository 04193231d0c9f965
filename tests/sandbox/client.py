"""A plain HTTP client of the sandbox, and the walks that tests do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apollo_sandbox import Sandbox

TIMEOUT = 20


class Client:
    """Sends requests with the right key, unless told otherwise."""

    def __init__(self, sandbox: Sandbox, **headers: str) -> None:
        self.url = sandbox.url
        self.root = sandbox.url.removesuffix("/api/v1")
        self.session = requests.Session()
        self.session.headers.update(headers or {"x-api-key": sandbox.settings.api_key})

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(f"{self.url}/{path}", params=params, timeout=TIMEOUT, allow_redirects=False)

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.session.post(f"{self.url}/{path}", json=body, timeout=TIMEOUT, allow_redirects=False)

    def read(self, path: str, **params: Any) -> Any:
        return self._good(self.get(path, **params))

    def search(self, path: str, **body: Any) -> Any:
        return self._good(self.post(path, **body))

    def control(self, method: str, path: str, **body: Any) -> requests.Response:
        return self.session.request(method, f"{self.root}/_sandbox/{path}", json=body or None, timeout=TIMEOUT)

    def walk(self, path: str, key: str, **body: Any) -> Iterator[dict[str, Any]]:
        """Read every page of a list that reports its pages."""
        page = pages = 1
        while page <= pages:
            reply = self.search(path, per_page=100, page=page, **body)
            yield from reply[key]
            pages = reply["pagination"]["total_pages"]
            page += 1

    @staticmethod
    def _good(response: requests.Response) -> Any:
        assert response.status_code == 200, (response.status_code, response.text[:500])
        return response.json()
