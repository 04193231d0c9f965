"""dlt's own REST API source, declared: extracted only, or extracted, normalized and loaded into files (JSON lines).

Files, so that no database's work counts as dlt's: into DuckDB it would write INSERT statements, which cost DuckDB more
than all that dlt does. Runs in an environment of its own. With ``--incremental`` it reads newest first down to its last
run's newest row; without, it keeps no cursor, which is cheaper. ``--ids`` prints afterwards what has arrived.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found]
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]


def source(url: str, *, incremental: bool) -> Any:
    """Return the source."""
    body = {"page": 1, "per_page": 100, "sort_by_field": "contact_updated_at", "sort_ascending": False}
    paginator = {
        "type": "page_number",
        "base_page": 1,
        "page_body_path": "page",
        "total_path": "pagination.total_pages",
    }
    endpoint: dict[str, Any] = {
        "path": "contacts/search",
        "method": "POST",
        "json": body,
        "data_selector": "contacts",
        "paginator": paginator,
    }
    auth = {"type": "api_key", "name": "x-api-key", "api_key": "sandbox-key", "location": "header"}
    if incremental:
        endpoint["incremental"] = {"cursor_path": "updated_at", "row_order": "desc"}
    return rest_api_source(
        {
            "client": {"base_url": f"{url}/", "auth": auth},
            "resources": [{"name": "contacts", "primary_key": "id", "endpoint": endpoint}],
        },
    )


def delivered(pipeline: Any, *, load: bool) -> list[str]:
    """Return the ids of the last run: in the files that it loaded, or in the package that it extracted."""
    if load:
        files = sorted(Path.cwd().glob("out/apollo/contacts/*"))  # named by load package, which is a time
        last = files[-1].name.rpartition(".jsonl")[0].rpartition(".")[0] if files else ""
        files = [file for file in files if file.name.startswith(last)]
    else:
        packages = sorted(Path(pipeline.working_dir, "normalize", "extracted").iterdir())
        files = [*packages[-1].glob("new_jobs/contacts.*")]
    ids = []
    for file in files:
        octets = file.read_bytes()
        for line in (gzip.decompress(octets) if octets.startswith(b"\x1f\x8b") else octets).splitlines():
            rows = json.loads(line)
            ids += [row["id"] for row in (rows if isinstance(rows, list) else [rows])]
    return ids


def main() -> None:
    """Run the pipeline in the current folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--incremental", action="store_true")
    parser.add_argument("--ids", action="store_true")
    given = parser.parse_args()
    destination = dlt.destinations.filesystem(bucket_url=(Path.cwd() / "out").as_uri())
    pipeline = dlt.pipeline("contacts", destination=destination, dataset_name="apollo", pipelines_dir=str(Path.cwd()))
    built = source(given.url, incremental=given.incremental)
    if given.load:
        pipeline.run(built).raise_on_failed_jobs()
    else:
        pipeline.extract(built)
    if given.ids:
        for row_id in delivered(pipeline, load=given.load):
            sys.stdout.write(json.dumps({"type": "RECORD", "record": {"id": row_id}}) + "\n")


if __name__ == "__main__":
    main()
