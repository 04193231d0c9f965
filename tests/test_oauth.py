"""OAuth tokens: renewed once when they expire, on disk before they are used, and never told to anybody."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api import auth
from tap_apollo.api.errors import ApolloError, CredentialsError, SettingsError, SyncError
from tap_apollo.tap import TapApollo
from tests.pace import Gate
from tests.singer import Sync, sync_with
from tests.test_resume import Seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_apollo.singer.stream import ApolloStream

MONTH = 2_592_000
LIST_STREAMS = ("lists", "users", "contact_stages", "account_stages", "deal_stages", "email_schedules")


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def own(seconds: Seconds) -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=250, seed=3, tie_size=1), monotonic=seconds).serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("tap_apollo.api.auth._WAITS", (0, 0, 0))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def app(sandbox: Sandbox, file: Path | None = None, **settings: Any) -> dict[str, Any]:
    """The settings of an app that was authorized once."""
    known = sandbox.settings
    config: dict[str, Any] = {
        "api_url": sandbox.url,
        "refresh_token": known.refresh_token,
        "client_id": known.client_id,
        "client_secret": known.client_secret,
    }
    if file is not None:
        config["oauth_token_file"] = str(file)
    return {**config, **settings}


def renewals(sandbox: Sandbox) -> int:
    return int(sandbox.ledger.as_dict()["requests"].get("oauth/token", 0))


def tokens_of(sandbox: Sandbox) -> dict[str, str]:
    """The pair that is valid now."""
    oauth = sandbox._services.oauth
    return {"access_token": oauth.access_token, "refresh_token": oauth.refresh_token}


def kept(file: Path) -> dict[str, str]:
    content = json.loads(file.read_text(encoding="utf-8"))
    return {name: content[name] for name in ("access_token", "refresh_token")}


def refresh(sandbox: Sandbox, token: str) -> requests.Response:
    """Renew as another program would."""
    known = sandbox.settings
    form = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": known.client_id,
        "client_secret": known.client_secret,
    }
    return requests.post(f"{sandbox.url}/oauth/token", data=form, timeout=10)


class TestRenewing:
    def test_a_refresh_token_is_enough(self, own: Sandbox, file: Path) -> None:
        run = sync_with(app(own, file), ["contacts", "users"])
        assert run.error is None
        assert len(run.records["contacts"]) == 250
        assert renewals(own) == 1

    def test_a_valid_access_token_is_used_as_it_is(self, own: Sandbox, file: Path) -> None:
        run = sync_with(app(own, file, access_token=own.settings.access_token), ["users"])
        assert run.error is None
        assert renewals(own) == 0
        assert not file.exists()

    @pytest.mark.parametrize("slots", [1, 4])
    def test_a_token_that_expires_in_the_middle_is_renewed_once_and_the_run_completes(
        self,
        own: Sandbox,
        file: Path,
        seconds: Seconds,
        slots: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        send = requests.Session.send
        sent: list[str] = []

        def passing(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            sent.append(str(request.url))
            if sum("contacts/search" in url for url in sent) == 2:
                seconds.passed = MONTH + 1
            return send(session, request, **options)

        monkeypatch.setattr(requests.Session, "send", passing)
        config = app(own, file, access_token=own.settings.access_token, max_concurrent_requests=slots)
        run = sync_with(config, ["contacts", "users"])
        assert run.error is None
        assert {*run.ids("contacts")} == {*own.world.contacts.ids}
        assert run.records["users"]
        assert renewals(own) == 1

    def test_many_streams_that_meet_the_expiry_at_once_renew_once(
        self,
        seconds: Seconds,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Gate(monkeypatch, 5)
        send = requests.Session.send
        sent: list[str] = []

        def passing(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            sent.append(str(request.url))
            if len(sent) == 2:  # the first was alone; now all the others go
                seconds.passed = MONTH + 1
            return send(session, request, **options)

        monkeypatch.setattr(requests.Session, "send", passing)
        with Sandbox(Settings(contacts=50, latency_ms=60), monotonic=seconds).serve() as own:
            config = app(own, file, access_token=own.settings.access_token, max_concurrent_requests=6)
            run = sync_with(config, LIST_STREAMS)
            assert run.error is None
            assert run.records.keys() == {*LIST_STREAMS}
            assert own.ledger.as_dict()["statuses"]["401"] > 1
            assert renewals(own) == 1

    def test_a_token_about_to_expire_is_renewed_before_it_is_refused(self, file: Path) -> None:
        with Sandbox(Settings(contacts=50, token_lifetime=auth.EARLY)).serve() as own:
            run = sync_with(app(own, file), ["lists", "users"])
            assert run.error is None
            assert "401" not in own.ledger.as_dict()["statuses"]
            assert renewals(own) >= 2

    def test_without_a_file_it_is_said_that_the_next_run_cannot_log_in(
        self,
        own: Sandbox,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        assert sync_with(app(own), ["users"]).error is None
        said = [record.message for record in caplog.records if record.levelname == "WARNING"]
        (line,) = [line for line in said if "`oauth_token_file`" in line]
        assert line == (
            "The OAuth tokens were renewed and the new ones are not kept, so the next run cannot log in: "
            "set `oauth_token_file`, then authorize the app again and set the new `refresh_token`."
        )


class TestTheFile:
    def test_holds_the_pair_that_is_valid_and_nobody_else_may_read_it(self, own: Sandbox, file: Path) -> None:
        sync_with(app(own, file), ["users"])
        assert kept(file) == tokens_of(own)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lock = file.with_name(f"{file.name}.lock")
        assert {*file.parent.iterdir()} == {file, lock}
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert not lock.read_bytes()

    def test_is_written_before_a_token_is_used(
        self,
        own: Sandbox,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        send = requests.Session.send
        used: list[str] = []

        def checked(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            token = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
            if token:
                used.append(token)
                assert kept(file)["access_token"] == token
            return send(session, request, **options)

        monkeypatch.setattr(requests.Session, "send", checked)
        assert sync_with(app(own, file), ["contacts", "users"]).error is None
        assert used

    def test_that_is_a_folder_is_one_line(
        self,
        own: Sandbox,
        file: Path,
    ) -> None:
        file.mkdir()
        run = sync_with(app(own, file), ["users"])
        assert isinstance(run.error, SettingsError)
        assert "oauth_token_file" in run.error.message
        assert "\n" not in run.error.message
        assert own.ledger.as_dict()["requests_total"] == 0

    def test_that_cannot_be_written_after_the_renewal_is_said(
        self, own: Sandbox, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(auth.OAuth, "_save", full)
        run = sync_with(app(own, file), ["users"])
        assert run.error is None
        assert run.records["users"]
        (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert line == (
            "The OAuth tokens were renewed and the new ones are not kept, as `oauth_token_file` cannot be written "
            "(OSError), so the next run cannot log in: mend that, then authorize the app again and set the new "
            "`refresh_token`."
        )

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
    @pytest.mark.parametrize("obstacle", ["no folder", "a file in its place"])
    def test_in_a_folder_that_cannot_be_written_to_costs_no_refresh_token(
        self,
        own: Sandbox,
        tmp_path: Path,
        obstacle: str,
    ) -> None:
        folder = tmp_path / "kept"
        if obstacle == "a file in its place":
            folder.write_text("", encoding="utf-8")
        run = sync_with(app(own, folder / "tokens.json"), ["users"])
        assert run.error is not None
        assert not run.records
        assert renewals(own) == 0
        assert refresh(own, own.settings.refresh_token).status_code == 200

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_in_a_folder_without_permission_costs_no_refresh_token(self, own: Sandbox, file: Path) -> None:
        file.parent.chmod(0o500)
        try:
            run = sync_with(app(own, file), ["users"])
        finally:
            file.parent.chmod(0o700)
        assert run.error is not None
        assert renewals(own) == 0

    def test_is_what_the_next_run_uses_though_the_settings_hold_the_old_token(
        self,
        own: Sandbox,
        file: Path,
        seconds: Seconds,
    ) -> None:
        sync_with(app(own, file), ["users"])
        again = sync_with(app(own, file, access_token=own.settings.access_token), ["users"])
        assert again.error is None
        assert renewals(own) == 1
        seconds.passed += MONTH + 1
        later = sync_with(app(own, file), ["users"])
        assert later.error is None
        assert renewals(own) == 2
        assert kept(file) == tokens_of(own)

    def test_gives_way_to_a_new_token_in_the_settings(self, own: Sandbox, file: Path) -> None:
        sync_with(app(own, file), ["users"])
        authorized_anew = refresh(own, tokens_of(own)["refresh_token"]).json()["refresh_token"]
        run = sync_with(app(own, file, refresh_token=authorized_anew), ["users"])
        assert run.error is None
        assert kept(file) == tokens_of(own)
        assert sync_with(app(own, file, refresh_token=authorized_anew), ["users"]).error is None
        assert renewals(own) == 3

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", "7", '{"access_token": "a"}', "\xff\xfe"])
    def test_that_is_damaged_is_one_line(self, own: Sandbox, file: Path, content: str) -> None:
        file.write_text(content, encoding="latin-1")
        run = sync_with(app(own, file), ["users"])
        assert isinstance(run.error, SettingsError)
        assert "Setting `oauth_token_file` names a file without tokens of this tap" in run.error.message
        assert "\n" not in run.error.message
        assert own.ledger.as_dict()["requests_total"] == 0

    @pytest.mark.parametrize("pair", [(None, None), (7, "r"), ("a", ["r"]), ("a", "r\n")])
    def test_whose_tokens_are_none_is_one_line(self, own: Sandbox, file: Path, pair: tuple[Any, Any]) -> None:
        sync_with(app(own, file), ["users"])
        content = json.loads(file.read_text(encoding="utf-8"))
        content.update(access_token=pair[0], refresh_token=pair[1])
        file.write_text(json.dumps(content), encoding="utf-8")
        run = sync_with(app(own, file), ["users"])
        assert isinstance(run.error, CredentialsError)
        assert "`refresh_token`" in run.error.message
        assert "\n" not in run.error.message
        assert not run.records

    def test_of_an_earlier_run_that_died_while_renewing_does_not_stop_the_next(
        self,
        own: Sandbox,
        file: Path,
    ) -> None:
        left = file.with_name(f"{file.name}.new")
        left.write_text('{"half of what', encoding="utf-8")
        file.with_name(f"{file.name}.lock").write_text("", encoding="utf-8")
        assert sync_with(app(own, file), ["users"]).error is None
        assert not left.exists()
        assert kept(file) == tokens_of(own)

    def test_is_renewed_by_one_run_at_a_time_and_by_the_next_as_soon_as_that_one_is_dead(
        self, own: Sandbox, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(auth.OAuth, "_longest_renewal", lambda _: 0)
        hold = "import filelock, sys\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); input()"
        command = [sys.executable, "-c", hold, f"{file}.lock"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            assert other.stdout.readline() == "held\n"
            run = sync_with(app(own, file), ["users"])
            other.kill()
        assert isinstance(run.error, SyncError)
        (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert f"Another run holds {file}.lock for longer than it takes to renew OAuth tokens: end that run." in line
        assert not run.records
        assert renewals(own) == 0
        assert not file.exists()
        assert sync_with(app(own, file), ["users"]).error is None
        assert renewals(own) == 1


def _run_of_its_own(config: dict[str, Any], results: Any) -> None:
    run = sync_with(config, ["users", "lists"])
    results.put((run.error and run.error.message, len(run.records["users"])))


class TestTwoRuns:
    def test_with_one_file_one_after_another(self, own: Sandbox, file: Path, seconds: Seconds) -> None:
        for _ in range(3):
            assert sync_with(app(own, file), ["users"]).error is None
            seconds.passed += MONTH + 1
        assert renewals(own) == 3

    def test_with_one_file_at_once_as_threads(self, own: Sandbox, file: Path) -> None:
        done: list[Sync] = []
        threads = [threading.Thread(target=lambda: done.append(sync_with(app(own, file), ["users"]))) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [run.error for run in done] == [None] * 5
        assert all(run.records["users"] for run in done)
        assert renewals(own) == 1

    def test_with_one_file_at_once_as_processes(self, own: Sandbox, file: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        results: Any = spawn.Queue()
        processes = [spawn.Process(target=_run_of_its_own, args=(app(own, file), results)) for _ in range(3)]
        for process in processes:
            process.start()
        found = [results.get(timeout=60) for _ in processes]
        for process in processes:
            process.join(60)
        assert [error for error, _ in found] == [None] * 3
        assert renewals(own) == 1
        assert kept(file) == tokens_of(own)

    def test_with_one_token_and_no_file_are_told_so(self, own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        assert sync_with(app(own), ["users"]).error is None
        second = sync_with(app(own), ["users", "lists", "contacts"])
        assert isinstance(second.error, CredentialsError)
        assert "another run may have used it" in second.error.message
        assert "`oauth_token_file`" in second.error.message
        assert "authorize the app again" in second.error.message
        assert not second.records
        assert renewals(own) == 2
        assert own.settings.refresh_token not in caplog.text + second.error.message

    def test_that_take_the_token_away_from_each_other_in_the_middle_end_with_it(
        self,
        own: Sandbox,
        file: Path,
    ) -> None:
        sync_with(app(own, file), ["users"])
        refresh(own, tokens_of(own)["refresh_token"])  # somebody else, with a copy of the file
        run = sync_with(app(own, file), LIST_STREAMS, None)
        assert isinstance(run.error, CredentialsError)
        assert "another run may have used it" in run.error.message
        assert renewals(own) <= 2 + len(LIST_STREAMS)


class TestRefusals:
    def test_of_the_app_name_its_settings(self, own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        run = sync_with(app(own, client_secret="not-the-secret"))  # noqa: S106
        assert isinstance(run.error, CredentialsError)
        assert "does not accept the credentials of the app (401)" in run.error.message
        assert "`client_secret`" in run.error.message
        assert not run.records
        assert renewals(own) == 1
        assert "not-the-secret" not in caplog.text + run.error.message
        assert refresh(own, own.settings.refresh_token).status_code == 200

    def test_that_outlast_a_renewal_end_the_run(self, own: Sandbox, file: Path) -> None:
        own.faults.add("status", status=401, action="contacts/search")
        run = sync_with(app(own, file, access_token=own.settings.access_token), ["contacts", "users"])
        assert isinstance(run.error, CredentialsError)
        assert renewals(own) == 1
        assert own.ledger.as_dict()["requests"]["contacts/search"] <= 3
        assert kept(file) == tokens_of(own)

    def test_of_everything_end_the_run_without_endless_renewals(self, own: Sandbox, file: Path) -> None:
        for action in ("contacts/search", "accounts/search", "tasks/search", "users/search", "labels/index"):
            own.faults.add("status", status=401, action=action, after=1 if action == "contacts/search" else 0)
        streams = ["contacts", "accounts", "tasks", "users", "lists"]
        run = sync_with(app(own, file), streams)
        assert isinstance(run.error, CredentialsError)
        assert renewals(own) <= 1 + len(streams)

    def test_known_to_the_run_renew_nothing(self, own: Sandbox, file: Path) -> None:
        tap = TapApollo(config=app(own, file, access_token=own.settings.access_token))
        users = cast("ApolloStream", tap.streams["users"]).io()
        tap.services.report.fatal = CredentialsError("no")
        with pytest.raises(CredentialsError, match="no"):
            users.ask({})
        assert own.ledger.as_dict()["requests_total"] == 0

    @pytest.mark.parametrize("fault", [{"kind": "status"}, {"kind": "cloudflare"}], ids=lambda fault: fault["kind"])
    def test_of_the_token_host_that_pass_are_survived(self, own: Sandbox, file: Path, fault: dict[str, Any]) -> None:
        own.faults.add(**fault, action="oauth/token", times=2)
        run = sync_with(app(own, file), ["users"])
        assert run.error is None
        assert run.records["users"]

    @pytest.mark.parametrize("fault", ["status", "html", "reset", "cut_body", "redirect", "cloudflare"])
    def test_of_a_passing_kind_say_to_run_again_and_leak_nothing(
        self,
        own: Sandbox,
        file: Path,
        fault: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        own.faults.add(fault, action="oauth/token", body="html")
        run = sync_with(app(own, file), ["users", "lists"])
        assert run.error is not None
        assert not run.records
        assert own.settings.refresh_token not in caplog.text + run.error.message
        assert own.settings.client_secret not in caplog.text + run.error.message
        assert [(path.name, path.stat().st_size) for path in file.parent.iterdir()] == [(f"{file.name}.lock", 0)]
        told = caplog.text
        assert told.count("Apollo gave no new OAuth tokens (") == 2
        assert told.count("; run again.") == 2
        own.faults.clear()
        again = sync_with(app(own, file), ["users", "lists"])
        if fault == "cut_body":  # the pair was issued, and nobody has read it
            assert isinstance(again.error, CredentialsError)
            assert "authorize the app again" in again.error.message
        else:
            assert again.error is None
            assert "authorize" not in run.error.message + told


def test_nothing_secret_is_told(
    own: Sandbox,
    file: Path,
    seconds: Seconds,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    secrets = {*tokens_of(own).values(), own.settings.client_secret, own.settings.client_id}
    runs = [sync_with(app(own, file), ["users", "contacts"])]
    secrets |= {*tokens_of(own).values()}
    seconds.passed += MONTH + 1
    runs.append(sync_with(app(own, file), ["users", "contacts"], runs[0].state))
    secrets |= {*tokens_of(own).values()}
    own.faults.add("status", status=500, action="users/search")
    runs.append(sync_with(app(own, file), ["users"], runs[1].state))
    assert isinstance(runs[2].error, SyncError)
    told = caplog.text + json.dumps([run.messages for run in runs]) + runs[2].error.message
    assert not [secret for secret in secrets if secret in told]


def test_an_expired_access_token_alone_ends_the_run(own: Sandbox, seconds: Seconds) -> None:
    seconds.passed = MONTH + 1
    config = {"api_url": own.url, "access_token": own.settings.access_token}
    run = sync_with(config, ["users", "lists", "contacts"])
    assert isinstance(run.error, ApolloError)
    assert "`access_token`" in run.error.message
    assert own.ledger.as_dict()["requests_total"] == 1
