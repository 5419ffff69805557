"""A local authority and its certificates, made without a child for each test."""

from __future__ import annotations

import tempfile
import time
import tomllib
from functools import cache
from pathlib import Path

from portico.adapters.certificates.child import answer


@cache
def authority_files() -> dict[Path, bytes]:
    """The files of a local authority, the same for all homes of this process."""
    with tempfile.TemporaryDirectory() as name:
        certify(Path(name) / "local", {})
        files = [file for file in Path(name).rglob("*") if file.is_file()]
        return {file.relative_to(name): file.read_bytes() for file in files}


def certify(folder: Path, lineages: dict[str, list[str]]) -> None:
    request = {"act": "local", "now": time.time(), "folder": str(folder), "host": "tests"}
    answer(request | {"lineages": lineages})


def site_names(text: str) -> dict[str, list[str]]:
    """None where the file cannot be read, which is for the daemon to say."""
    try:
        sites = tomllib.loads(text).get("sites", {})
        return {name: [name, *site.get("aliases", ())] for name, site in sites.items()}
    except (ValueError, AttributeError):
        return {}
