"""Writes docs/demo.svg and docs/plan.svg: what `make demo` and `tap-apollo --plan` print, as they print it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from apollo_sandbox import Sandbox, Settings

ROOT = Path(__file__).resolve().parent.parent


def printed(*command: str) -> str:
    """Return what a command prints, without its log."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return done.stdout.strip()


def plan() -> str:
    """Return the plan of a sync that buys, too."""
    config = {
        "people_searches": [{"name": "engineers", "filters": {"person_titles": ["Engineer"]}, "max_pages": 2}],
        "credit_streams": ["organization_enrichment"],
        "credit_budget": 40,
    }
    with Sandbox(Settings(contacts=45_000, seed=1)).serve() as sandbox, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps({**config, "api_url": sandbox.url, "api_key": sandbox.settings.api_key}))
        return printed(sys.executable, "-m", "tap_apollo", "--plan", "--config", str(path))


def picture(command: str, text: str, path: Path) -> None:
    """Write a terminal with a command and what it printed."""
    lines = [f"$ {command}", *text.splitlines()]
    console = Console(record=True, width=max(map(len, lines)) + 1, file=io.StringIO(), highlight=False)
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    svg = console.export_svg(title=command, unique_id=path.stem)
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")  # no font from afar


if __name__ == "__main__":
    picture("make demo", printed("make", "demo"), ROOT / "docs" / "demo.svg")
    picture("tap-apollo --plan --config config.json", plan(), ROOT / "docs" / "plan.svg")
