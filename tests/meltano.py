"""This repository's Meltano project, run as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.write_docs import ROOT

MELTANO = [str(Path(sys.executable).with_name("meltano")), "--environment=sandbox"]


def project_in(folder: Path) -> Path:
    """Copy the project's definition into a folder of its own, with the tap as it is here."""
    text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
    (folder / "meltano.yml").write_text(text.replace("pip_url: -e .", f"pip_url: -e {ROOT}"), encoding="utf-8")
    return folder


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", **settings}


def tried(project: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run Meltano, and return its exit code and all that it printed."""
    done = subprocess.run(
        [*MELTANO, *arguments],
        cwd=project,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout


def meltano(project: Path, *arguments: str, **settings: str) -> str:
    """Run Meltano, which has to go well, and return all that it printed."""
    code, printed = tried(project, *arguments, **settings)
    assert code == 0, printed[-5000:]
    return printed
