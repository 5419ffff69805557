"""Which lineages need no work, read cheaply: no child is started for them.

The index is a copy of what the certificates themselves say; without it, or with a wrong one,
the child looks at them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict, cast

from portico.adapters.certificates.lineage import files
from portico.core.model.names import folder_name
from portico.core.model.place import CertificateFiles
from portico.system.folders import numbers

INDEX: Final = "_index.json"
AUTHORITY: Final = "authority"
ROOT: Final = "root.pem"


class Entry(TypedDict):
    names: list[str]
    """Sorted, each once."""
    good_from: float
    renew_at: float
    generation: int


def valid_files(
    folder: Path, wanted: Mapping[str, Sequence[str]], now: float
) -> dict[str, CertificateFiles]:
    """The lineages that have a certificate for exactly these names that need not be renewed."""
    entries = read_index(folder)
    good = {
        lineage: files(folder, lineage, entry["generation"])
        for lineage, names in wanted.items()
        if (entry := entries.get(lineage))
        and entry["names"] == sorted(set(names))
        and entry["good_from"] <= now < entry["renew_at"]
    }
    return {
        lineage: pair
        for lineage, pair in good.items()
        if Path(pair.certificate).is_file() and Path(pair.key).is_file()
    }


def expected_pairs(
    folder: Path, wanted: Mapping[str, Sequence[str]], now: float
) -> dict[str, CertificateFiles]:
    """The pairs that these lineages will have: the good ones, else their next generation."""

    def next_files(lineage: str) -> CertificateFiles:
        last = max(numbers(folder / folder_name(lineage)), default=0)
        return files(folder, lineage, last + 1)

    good = valid_files(folder, wanted, now)
    return {lineage: good.get(lineage) or next_files(lineage) for lineage in wanted}


def read_index(folder: Path) -> dict[str, Entry]:
    """Empty if it cannot be read, or if another authority signed what is in it."""
    try:
        found = json.loads((folder / INDEX).read_bytes())
        entries = found["lineages"] if found["root"] == _root_id(folder) else {}
        return {
            lineage: cast("Entry", entry) for lineage, entry in entries.items() if _is_entry(entry)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_entry(entry: Mapping[str, object]) -> bool:
    numbers = (entry["good_from"], entry["renew_at"], entry["generation"])
    return isinstance(entry["names"], list) and all(type(each) in {int, float} for each in numbers)


def index_text(folder: Path, lineages: Mapping[str, Entry]) -> bytes:
    return json.dumps({"root": _root_id(folder), "lineages": lineages}).encode()


def _root_id(folder: Path) -> str:
    return hashlib.sha256((folder / AUTHORITY / ROOT).read_bytes()).hexdigest()
