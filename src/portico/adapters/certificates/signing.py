"""Has a certificate of the local authority for every lineage: kept where good, else made."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portico.adapters.certificates.authority import Authority, local_authority
from portico.adapters.certificates.index import INDEX, Entry, index_text, read_index
from portico.adapters.certificates.lineage import CHAIN, KEY, write_generation
from portico.core.model.names import folder_name
from portico.system.files import write
from portico.system.folders import numbers, remove_folders
from portico.system.x509 import PARSE_ERRORS, names_of, plain

GENERATIONS_KEPT: Final = 2
"""The generation in use, and the one that an older nginx generation names."""
RENEW_PART: Final = 2 / 3  # of a certificate's life
THREADS: Final = 16  # they wait for the disk, which syncs many files at once as fast as one


def ensure_certificates(
    folder: Path, host: str, lineages: Mapping[str, Sequence[str]], now: float
) -> dict[str, Entry]:
    with lock(folder):
        remove_folders(folder)
        authority = local_authority(folder, host, now)

        def ensure(lineage: str) -> Entry:
            return _ensure_certificate(
                authority, folder / folder_name(lineage), lineages[lineage], now
            )

        with ThreadPoolExecutor(THREADS) as pool:
            entries = dict(zip(lineages, pool.map(ensure, lineages), strict=True))
        _write_index(folder, read_index(folder) | entries)
    return entries


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Only one child at a time works in the folder; the lock ends with its process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ensure_certificate(
    authority: Authority, folder: Path, names: Sequence[str], now: float
) -> Entry:
    wanted = sorted(set(names))
    before = numbers(folder)
    if before and (entry := _usable_entry(authority, folder, before[-1], wanted, now)):
        return entry
    chain, key = authority.sign(wanted, now)
    number = write_generation(folder, chain, key)
    older = map(str, before[: 1 - GENERATIONS_KEPT])
    remove_folders(folder, [name for name in older if _is_removable(folder / name, now)])
    return _entry(number, wanted, x509.load_pem_x509_certificate(chain))


def _usable_entry(
    authority: Authority, folder: Path, number: int, names: list[str], now: float
) -> Entry | None:
    """The entry of a generation that can stay, judged by its files alone."""
    generation = folder / str(number)
    try:
        leaf = x509.load_pem_x509_certificate((generation / CHAIN).read_bytes())
        key = load_pem_private_key((generation / KEY).read_bytes(), None)
        entry = _entry(number, names, leaf)
        good = (
            entry["good_from"] <= now < entry["renew_at"]
            and names_of(leaf) == set(map(plain, names))
            and key.public_key() == leaf.public_key()
            and authority.has_signed(leaf)
        )
    except (OSError, TypeError, *PARSE_ERRORS):
        return None
    return entry if good else None


def _entry(number: int, names: list[str], leaf: x509.Certificate) -> Entry:
    start, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return {
        "names": names,
        "good_from": start,
        "renew_at": start + (end - start) * RENEW_PART,
        "generation": number,
    }


def _is_removable(generation: Path, now: float) -> bool:
    """Whether a generation is of no use to anybody. One that nginx may still name, because its
    newer configuration was refused, has to stay for as long as it is good for something.
    """
    try:
        leaf = x509.load_pem_x509_certificate((generation / CHAIN).read_bytes())
    except (OSError, *PARSE_ERRORS):
        return True
    return leaf.not_valid_after_utc.timestamp() < now


def _write_index(folder: Path, entries: Mapping[str, Entry]) -> None:
    write(folder / INDEX, index_text(folder, entries))
