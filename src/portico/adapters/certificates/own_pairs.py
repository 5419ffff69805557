"""Copies an operator's own pair for nginx, if it can be used as it is at this moment."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from portico.adapters.certificates.examine import examine
from portico.adapters.certificates.facts import facts_of
from portico.adapters.certificates.lineage import CHAIN, KEY
from portico.adapters.certificates.own_copies import FACTS, folder_of, read
from portico.adapters.certificates.wire import Pair
from portico.core.model.pair import OwnPair
from portico.system.files import write_new
from portico.system.folders import (
    begin_folder,
    finish_folder,
    numbers,
    remove_folder,
    remove_folders,
)
from portico.system.x509 import read_chain

MAX_COPIES: Final = 10
"""nginx's files may name an earlier one for as long as it refuses newer files."""


def copy_own_pair(folder: Path, pair: Pair, now: float) -> list[str]:
    """Why there is no new copy; empty if there is. What is examined is what was copied: the
    operator's files may be written meanwhile.
    """
    place = folder_of(folder, OwnPair(pair["certificate"], pair["key"], ()))
    try:
        chain, key = read(pair["certificate"]), read(pair["key"])
    except OSError as error:
        return [f"cannot read {error.filename}: {error.strerror}"]
    unfinished = begin_folder(place)
    try:
        write_new(unfinished / CHAIN, chain)
        write_new(unfinished / KEY, key)
        if problems := _problems(unfinished, pair, now):
            return problems
        facts = json.dumps(asdict(facts_of(read_chain(chain)[0])))
        write_new(unfinished / FACTS, facts)
        before = numbers(place)
        finish_folder(unfinished, place / str(max(before, default=0) + 1))
        remove_folders(place, list(map(str, before[: 1 - MAX_COPIES])))
    finally:
        remove_folder(unfinished)
    return []


def _problems(copy: Path, pair: Pair, now: float) -> list[str]:
    """With the operator's own paths in them."""
    own = {str(copy / CHAIN): pair["certificate"], str(copy / KEY): pair["key"]}
    copied: Pair = {
        "certificate": str(copy / CHAIN),
        "key": str(copy / KEY),
        "names": pair["names"],
    }
    problems = examine(copied, now)["problems"]
    for path, named in own.items():
        problems = [each.replace(path, named) for each in problems]
    return problems
