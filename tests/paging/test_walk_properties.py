"""Whatever people do between two requests, and wherever a run is killed: nothing living is lost."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.paging.model import ACCOUNTS, CONTACTS, DEALS, Kind, Reader, Server


class People(RuleBasedStateMachine):
    """People insert, change and delete rows; runs read pages, are killed, and go on from what they remembered."""

    kind: Kind
    tie = 3

    @initialize(rows=st.integers(0, 60), per_page=st.integers(8, 14), apart=st.sampled_from([0, 1, 20]))
    def begin(self, rows: int, per_page: int, apart: int) -> None:
        self.server = Server(tie=self.tie).fill(rows, apart=apart)
        self.reader = Reader(self.server, self.kind, per_page)

    @rule(minutes=st.sampled_from([1, 30]))
    def time_passes(self, minutes: int) -> None:
        self.server.tick(minutes)

    @rule()
    def insert(self) -> None:
        self.server.insert()

    @precondition(lambda self: self.server.rows)
    @rule(which=st.integers(0, 10**6))
    def update(self, which: int) -> None:
        self.server.update(self._row(which))

    @precondition(lambda self: self.server.rows)
    @rule(which=st.integers(0, 10**6))
    def delete(self, which: int) -> None:
        self.server.delete(self._row(which))

    @rule(random=st.randoms(use_true_random=False), pages=st.integers(1, 3))
    def read(self, random: Random, pages: int) -> None:
        for _ in range(pages):
            if self.reader.walk is None:
                self.reader.start()
            self.reader.page(random)

    @precondition(lambda self: self.reader.walk)
    @rule()
    def kill(self) -> None:
        self.reader.kill()

    def teardown(self) -> None:
        """A run to the end of the walk, and the run after it, hold every living row with its latest values."""
        if not hasattr(self, "server"):
            return
        self.server.tick(30)
        self.reader.kill()
        self.reader.run()
        self.reader.run()
        self.reader.assert_complete()
        assert self.reader.state is not None
        assert len(self.reader.state) < 20_000

    def _row(self, which: int) -> str:
        ids = sorted(self.server.rows)
        return ids[which % len(ids)]


class PeopleAndContacts(People):
    kind = CONTACTS


class PeopleAndAccounts(People):
    """Without a shown update time, ties that move are found by the count only, which a killed walk has not."""

    kind = ACCOUNTS
    tie = 1


class PeopleAndDeals(People):
    kind = DEALS


@pytest.mark.parametrize("machine", [PeopleAndContacts, PeopleAndAccounts, PeopleAndDeals])
def test_nothing_is_lost(machine: type[People]) -> None:
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=40))
