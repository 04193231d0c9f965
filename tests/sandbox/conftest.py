"""Sandboxes and clients for the sandbox's own tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from apollo_sandbox import Sandbox, Settings

from .client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator


class Served(NamedTuple):
    """A sandbox and a client of it."""

    sandbox: Sandbox
    client: Client


#: Serves a small sandbox with settings of the test's own.
Serve = Callable[..., AbstractContextManager[Served]]


class FakeTime:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """A sandbox of 600 contacts without rate limits, which no test changes."""
    with Sandbox(Settings(contacts=600, seed=11, plan="unlimited")).serve() as sandbox:
        yield Served(sandbox, Client(sandbox))


@pytest.fixture(scope="session")
def client(served: Served) -> Client:
    return served.client


@pytest.fixture
def serve() -> Serve:
    @contextmanager
    def start(*, monotonic: FakeTime | None = None, **settings: Any) -> Iterator[Served]:
        chosen = Settings(**{"contacts": 60, "people": 300, **settings})
        sandbox = Sandbox(chosen, monotonic=monotonic) if monotonic else Sandbox(chosen)
        with sandbox.serve():
            yield Served(sandbox, Client(sandbox))

    return start


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()
