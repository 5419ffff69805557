"""The certificate databases of Firefox and Chromium (Mozilla's NSS), by its program certutil."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.adapters.certificates.running import run
from portico.errors import Failed

CERTUTIL_TIMEOUT: Final = 20.0
_PROFILES: Final = (
    # Chromium and its kin, then Firefox; each also as a snap and a flatpak
    ".pki/nssdb",
    ".local/share/pki/nssdb",
    "snap/*/current/.pki/nssdb",
    ".var/app/*/.pki/nssdb",
    ".var/app/*/data/pki/nssdb",
    ".mozilla/firefox/*",
    ".config/mozilla/firefox/*",
    "snap/firefox/common/.mozilla/firefox/*",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
)


@dataclass(frozen=True, slots=True)
class StoreChanges:
    done: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


async def change(homes: Sequence[Path], pem: str, name: str, *, add: bool) -> StoreChanges:
    """Add the certificate under this name to all databases of these people, or remove it."""
    databases = await asyncio.to_thread(_databases, homes)
    if not databases:
        return StoreChanges((), (_NO_PROFILE,) if add else ())
    if not (certutil := shutil.which("certutil")):
        return StoreChanges((), (_NO_CERTUTIL,))
    done: list[str] = []
    skipped: list[str] = []
    for database in databases:
        try:
            if await _change(certutil, database, pem, name, add=add):
                done.append(str(database.folder))
        except Failed as error:
            skipped.append(f"{database.folder}: {error}")
    return StoreChanges(tuple(done), tuple(skipped))


_NO_PROFILE: Final = (
    "browsers: no Firefox or Chromium profile found; start the browser once, then run `portico "
    "trust` again"
)
_NO_CERTUTIL: Final = (
    "browsers: certutil is not installed; install libnss3-tools (Debian, Ubuntu), nss-tools "
    "(Fedora, Alpine) or nss (Arch), then run this again"
)


@dataclass(frozen=True, slots=True)
class _Database:
    folder: Path
    owner: os.stat_result
    """Of the home folder it is in."""


def _databases(homes: Sequence[Path]) -> list[_Database]:
    return [
        _Database(file.parent, home.stat())
        for home in homes
        for profile in _PROFILES
        for file in sorted(home.glob(f"{profile}/cert9.db"))
    ]


async def _change(certutil: str, database: _Database, pem: str, name: str, *, add: bool) -> bool:
    """Whether the certificate is there now, or was taken away."""
    if add:
        # C: may sign for servers, and for nothing else. Without -i it reads its input,
        # because a person's certutil cannot read files of the daemon.
        await _certutil(certutil, database, "-A", "-a", "-n", name, "-t", "C,,", given=pem)
        return True
    try:
        await _certutil(certutil, database, "-L", "-n", name)
    except Failed:
        return False
    await _certutil(certutil, database, "-D", "-n", name)
    return True


async def _certutil(program: str, database: _Database, *words: str, given: str = "") -> None:
    # Root acts as the owner: the files stay theirs, and a link leads nowhere they may not go.
    owner = database.owner if os.geteuid() == 0 else None
    command = (program, "-d", f"sql:{database.folder}", "-f", os.devnull, *words)
    ran = await run(command, CERTUTIL_TIMEOUT, given=given.encode(), owner=owner)
    if ran.code:
        raise Failed(ran.last_words or f"certutil failed with exit code {ran.code}")
