"""What is released: the packages, installed as strangers install them, and what MeltanoHub and CI are told."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts.hub_definition import definition, meltano_settings
from scripts.write_docs import ROOT
from tap_apollo.streams import CREDIT_STREAMS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

UV = str(Path(sys.executable).with_name("uv"))
VERSION = metadata.version("tap-apollo")
PACKAGES = ("tap_apollo", "apollo_sandbox")

#: An environment in which nothing tells of this project.
OUTSIDE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("TAP_APOLLO_", "APOLLO_", "MELTANO_", "PYTHON", "VIRTUAL_ENV", "UV_PROJECT"))
}


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, timeout=300, env={**OUTSIDE, **environment}
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both packages as a release does: the wheel from the source package."""
    folder = tmp_path_factory.mktemp("built")
    run(UV, "build", "--quiet", "--out-dir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"tap_apollo-{VERSION}-py3-none-any.whl"


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    return built / f"tap_apollo-{VERSION}.tar.gz"


def sources() -> set[str]:
    """Return the files of the packages as they are in the tree."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_packages_hold_nothing_but_code_schemas_and_markers() -> None:
    kinds = {Path(path).name if path.endswith("py.typed") else Path(path).suffix for path in sources()}
    assert kinds == {".py", ".json", "py.typed"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= sources()
    assert {path for path in sources() if path.endswith(".json")} == {
        f"tap_apollo/schemas/{name}.json" for name in (*STREAMS, "common")
    }


def test_the_wheel_holds_the_packages_and_the_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {*archive.namelist()}
    about = f"tap_apollo-{VERSION}.dist-info"
    own = {f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    assert names == sources() | own


def test_the_source_package_holds_what_a_wheel_is_built_from(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == sources() | {
        *("CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"),
        ".gitignore",  # the build backend's habit
    }


def test_the_wheel_says_what_pyproject_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        told = archive.read(f"tap_apollo-{VERSION}.dist-info/METADATA").decode()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{VERSION}"' in project.splitlines()
    assert f"\nVersion: {VERSION}\n" in told
    assert "\nLicense-Expression: Apache-2.0\n" in told
    assert "\nDescription-Content-Type: text/markdown\n" in told
    first, last = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project)[0]
    supported = {f"3.{minor}" for minor in range(int(first), int(last))}
    assert {*re.findall(r"^Classifier: Programming Language :: Python :: (3\.\d+)$", told, re.MULTILINE)} == supported


def test_the_changelog_tells_of_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(f"{VERSION} - ")
    for heading in headings[headings[0] == "Unreleased" :]:
        assert re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}", heading), heading
    assert re.search(r"^- ", text.split("\n## ")[1], re.MULTILINE), "the first section is empty"


# Installed where nothing else is


@pytest.fixture(scope="module", params=["wheel", "wheel with the sandbox", "source package with the sandbox"])
def installed(
    request: pytest.FixtureRequest, wheel: Path, sdist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A new environment with one of the packages and what it needs, at the newest versions that it allows."""
    folder = tmp_path_factory.mktemp("installed")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", folder=folder)
    package, _, extra = request.param.partition(" with the ")
    requirement = f"tap-apollo{f'[{extra}]' * bool(extra)} @ {(wheel if package == 'wheel' else sdist).as_uri()}"
    run(UV, "pip", "install", "--quiet", "--python", folder / "venv" / "bin" / "python", requirement, folder=folder)
    return folder / "venv" / "bin"


def test_the_installed_tap_tells_about_itself(installed: Path, tmp_path: Path) -> None:
    told = json.loads(run(installed / "tap-apollo", "--about", "--format", "json", folder=tmp_path))
    assert told["name"] == "tap-apollo"
    assert told["version"] == VERSION
    assert [*meltano_settings(told["settings"]["properties"])] == [one["name"] for one in definition()["settings"]]


def test_the_installed_tap_discovers_its_streams(installed: Path, tmp_path: Path) -> None:
    catalog = json.loads(run(installed / "tap-apollo", "--discover", folder=tmp_path))
    assert {stream["tap_stream_id"] for stream in catalog["streams"]} == STREAMS.keys() - CREDIT_STREAMS.keys()


def test_the_installed_sandbox_explains_itself(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "apollo-sandbox"), "--help"]
    if [*installed.parent.glob("lib/*/site-packages/starlette")]:
        assert run(*command, folder=tmp_path).startswith("Usage: apollo-sandbox [OPTIONS]")
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60, env=OUTSIDE)
    assert done.returncode == 1
    said = r'apollo-sandbox cannot start, as there is no \w+: pip install "tap-apollo\[sandbox\]"\n'
    assert re.fullmatch(said, done.stderr), done.stderr


# MeltanoHub


@pytest.fixture
def hub(wheel: Path) -> Iterator[str]:
    """Serve what MeltanoHub would serve if it had the definition; the package comes from here."""
    answers = {"/tap-apollo": {**definition(), "pip_url": wheel.as_uri()}}

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        variant = definition()["variant"]
        variants = {
            "default_variant": variant,
            "logo_url": None,
            "variants": {variant: {"ref": f"{address}/tap-apollo"}},
        }
        answers["/plugins/extractors/index"] = {"tap-apollo": variants}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


def test_meltano_adds_the_tap_from_the_hub_and_selects_what_the_tap_would(hub: str, tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").write_text("{send_anonymous_usage_stats: false}\n", encoding="utf-8")

    def meltano(*arguments: str) -> str:
        command = Path(sys.executable).with_name("meltano")
        return run(command, *arguments, folder=tmp_path, MELTANO_HUB_API_ROOT=hub, TAP_APOLLO_API_KEY="k")

    meltano("add", "--plugin-type=extractor", "tap-apollo")
    (lock,) = (tmp_path / "plugins" / "extractors").iterdir()
    kept = json.loads(lock.read_text(encoding="utf-8"))
    expected = {setting["name"]: setting for setting in definition()["settings"]}
    assert {setting["name"]: setting for setting in kept["settings"]} == expected
    for key in ("namespace", "capabilities", "settings_group_validation", "select"):
        assert kept[key] == definition()[key]

    catalog = json.loads(meltano("invoke", "--dump=catalog", "tap-apollo"))
    selected = {
        stream["tap_stream_id"]
        for stream in catalog["streams"]
        for entry in stream["metadata"]
        if entry["breadcrumb"] == [] and entry["metadata"]["selected"]
    }
    assert selected == {name for name, one in STREAMS.items() if one.selected_by_default} - CREDIT_STREAMS.keys()

    persons = {"from": "details", "details": [{"email": "ada@example.com"}], "webhook_url": "https://hooks.example.com"}
    meltano("config", "set", "tap-apollo", "people_enrichment", json.dumps(persons))
    assert json.loads(meltano("invoke", "--dump=config", "tap-apollo"))["people_enrichment"] == persons
    for style in ("json", "env"):
        printed = meltano("config", "print", "tap-apollo", f"--format={style}")
        assert "people_enrichment" in printed.lower()
        assert "example.com" not in printed


# CI

WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github" / "workflows").iterdir())}

#: What a step may call that no file here defines.
SHELL = {"test", "grep", "echo"}


def workflow(name: str) -> dict[Any, Any]:
    """Return a workflow; its key `on` is, to YAML, the truth."""
    content: dict[Any, Any] = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    return content


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in workflow(name)["jobs"].values():
        yield from job.get("steps", ())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_the_parts_of_one(name: str) -> None:
    content = workflow(name)
    assert content.keys() <= {"name", True, "permissions", "concurrency", "jobs"}
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        needs = job.get("needs", [])
        assert {needs} if isinstance(needs, str) else {*needs} <= content["jobs"].keys()
        assert "uses" in job or job["runs-on"] == "ubuntu-latest"
        assert job["permissions"]
        if "uses" in job:
            assert workflow(Path(job["uses"]).name)[True].keys() >= {"workflow_call"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_uses_actions_at_a_commit(name: str) -> None:
    uses = re.findall(r"uses: +(.+)$", WORKFLOWS[name].read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+", action) or (ROOT / action).is_file(), action


def called(script: str) -> Iterator[Sequence[str]]:
    """Yield the commands of a script, each as its words."""
    subprocess.run(["bash", "-n", "-c", script], check=True)
    for line in re.split(r"\n|&&|\|", script.replace("\\\n", " ")):
        words = line.split("#")[0].split()
        if words:
            yield words


def _make(words: Sequence[str]) -> bool:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in words[1:])


def _here(words: Sequence[str]) -> bool:
    path = Path(words[0])
    return os.access(Path(sys.executable).with_name(path.name) if ".venv" in path.parts else ROOT / path, os.X_OK)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_what_exists(name: str) -> None:
    known: dict[str, Callable[[Sequence[str]], bool]] = {"make": _make, **dict.fromkeys(SHELL, bool)}
    for step in steps(name):
        for words in called(step.get("run", "")):
            assert known.get(words[0], _here)(words), words


def test_ci_itself_calls_what_exists() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = [words for words in called(script) if words[0] == "make"]
    assert made
    assert all(map(_make, made))


def test_ci_tests_every_supported_python_beside_a_real_postgres() -> None:
    job = workflow("test.yml")["jobs"]["test"]
    assert "supported_python_classifiers" in workflow("test.yml")["jobs"]["build"]["outputs"]["python-versions"]
    assert job["strategy"]["matrix"] == {"python-version": "${{ fromJson(needs.build.outputs.python-versions) }}"}
    assert job["services"]["postgres"]["ports"] == ["5432:5432"]
    assert {"run": ".ci/run"} in job["steps"]


@pytest.mark.parametrize("name", ["next-sdk.yml", "weekly.yml"])
def test_what_nothing_waits_for_runs_every_week(name: str) -> None:
    on = workflow(name)[True]
    assert on.keys() == {"schedule", "workflow_dispatch"}
    (once,) = on["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", once["cron"])


def test_the_matrices_are_whole_and_the_examples_new_every_week() -> None:
    assert {"run": "make weekly"} in [*steps("weekly.yml")]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nweekly:")[2].partition("\n\n")[0]
    assert re.search(r"/pytest .*-m weekly$", recipe, re.MULTILINE)
    assert re.search(r"HYPOTHESIS_PROFILE=explore .*/pytest .*tests/paging$", recipe, re.MULTILINE)


def test_the_sdks_pre_releases_are_tried() -> None:
    script = "\n".join(step.get("run", "") for step in steps("next-sdk.yml"))
    assert "--prerelease allow --upgrade-package singer-sdk" in script
