"""Installs a root certificate where the system and browsers look for it, and takes it away.

Doing it twice is as good as once. What cannot be done is told with what to type instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from portico.adapters.certificates import nss
from portico.adapters.certificates.nss import StoreChanges
from portico.adapters.certificates.running import run
from portico.core.model.pair import Trust
from portico.errors import Failed
from portico.system.account import home_folder_of
from portico.system.files import write

STORE_TIMEOUT: Final = 60.0  # seconds; update-ca-certificates takes up to five on a slow disk


@dataclass(frozen=True, slots=True)
class SystemStore:
    """A folder from which a program makes the system's list of trusted certificates."""

    system: str
    folder: str
    ending: str
    added: tuple[str, ...]
    """The program to run after a file was put there."""
    removed: tuple[str, ...]


SYSTEM_STORES: Final = (
    SystemStore(
        "Debian, Ubuntu and Alpine",
        "/usr/local/share/ca-certificates",
        ".crt",
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
    ),
    SystemStore(
        "Fedora and Red Hat",
        "/etc/pki/ca-trust/source/anchors",
        ".pem",
        ("update-ca-trust", "extract"),
        ("update-ca-trust", "extract"),
    ),
    SystemStore(
        "Arch",
        "/etc/ca-certificates/trust-source/anchors",
        ".crt",
        ("trust", "extract-compat"),
        ("trust", "extract-compat"),
    ),
    SystemStore(
        "openSUSE",
        "/etc/pki/trust/anchors",
        ".pem",
        ("update-ca-certificates",),
        ("update-ca-certificates",),
    ),
)


@dataclass(frozen=True, slots=True)
class TrustStores:
    """Where a root certificate is to be trusted."""

    stores: tuple[SystemStore, ...] = SYSTEM_STORES
    homes: tuple[Path, ...] = ()
    """Home folders of the people whose browsers should trust it."""

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> TrustStores:
        """The system's, and the browsers of this user and of the one who typed `sudo`."""
        homes = [environ.get("HOME") or home_folder_of(os.geteuid())]
        asking = environ.get("SUDO_UID", "")
        if os.geteuid() == 0 and asking.isdigit():
            homes.append(home_folder_of(int(asking)))
        return cls(homes=tuple(Path(home) for home in homes if home))


async def install(root: Path, places: TrustStores) -> Trust:
    """Have the certificate in all places. `root` is its PEM file."""
    pem = await asyncio.to_thread(root.read_text)
    system = await _in_stores(places.stores, pem, root, add=True)
    browsers = await nss.change(places.homes, pem, _label(pem), add=True)
    return _trust(root, system, browsers, StoreChanges((), _hints(system.done, root)))


async def uninstall(root: Path, places: TrustStores) -> Trust:
    pem = await asyncio.to_thread(root.read_text)
    system = await _in_stores(places.stores, pem, root, add=False)
    browsers = await nss.change(places.homes, pem, _label(pem), add=False)
    return _trust(root, system, browsers)


def _label(pem: str) -> str:
    return f"Portico local authority {short_name(pem)}"


def short_name(pem: str) -> str:
    """`1f0c…`: sixteen digits of the SHA-256 of the certificate."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()[:16]


def _trust(root: Path, *changed: StoreChanges) -> Trust:
    done = chain.from_iterable(each.done for each in changed)
    skipped = chain.from_iterable(each.skipped for each in changed)
    return Trust(str(root), tuple(done), tuple(skipped))


async def _in_stores(
    stores: Sequence[SystemStore], pem: str, root: Path, *, add: bool
) -> StoreChanges:
    if not (there := _installed_stores(stores)):
        return StoreChanges((), (_NO_STORE,))
    done: list[str] = []
    skipped: list[str] = []
    for store in there:
        target = Path(store.folder) / f"portico-{short_name(pem)}{store.ending}"
        try:
            if await asyncio.to_thread(_put, target, pem if add else None):
                await _refresh(store.added if add else store.removed)
                done.append(str(target))
        except PermissionError:
            skipped.append(_by_hand(store, root, target, add=add))
        except (OSError, Failed) as error:
            skipped.append(f"{target}: {error}")
    return StoreChanges(tuple(done), tuple(skipped))


_NO_STORE: Final = "the system's store: not found; install the package ca-certificates"


def _installed_stores(stores: Sequence[SystemStore]) -> list[SystemStore]:
    return [store for store in stores if Path(store.folder).is_dir()]


def _put(target: Path, pem: str | None) -> bool:
    """Write the file, or remove it; whether there was anything to do."""
    if pem is None:
        there = target.exists()
        target.unlink(missing_ok=True)
        return there
    write(target, pem, 0o644)
    return True


async def _refresh(command: Sequence[str]) -> None:
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
    if not program:
        raise Failed(f"{command[0]} is not installed; install the package ca-certificates")
    ran = await run((program, *command[1:]), STORE_TIMEOUT)
    if ran.code:
        raise Failed(f"{command[0]} failed: {ran.last_words or f'exit code {ran.code}'}")


def _by_hand(store: SystemStore, root: Path, target: Path, *, add: bool) -> str:
    first = f"install -m 644 {root} {target}" if add else f"rm {target}"
    command = " ".join(store.added if add else store.removed)
    return f"{store.folder}: only root may write there; run `sudo {first} && sudo {command}`"


def _hints(installed: Sequence[str], root: Path) -> tuple[str, ...]:
    readable = next(iter(installed), str(root))  # HOME is closed to other users
    hints = [f"Node.js does not read these stores; start it with NODE_EXTRA_CA_CERTS={readable}"]
    if sys.platform == "darwin":
        hints.append(
            "the macOS keychain: run `sudo security add-trusted-cert -d -r trustRoot -k "
            f"/Library/Keychains/System.keychain {root}`"
        )
    return tuple(hints)
