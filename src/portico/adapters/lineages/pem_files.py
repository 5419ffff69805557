"""Writes certificates into files of other programs (ports.PemFiles)."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from portico.core.model.certificate import Certificate
from portico.core.model.pem_file import Part, PemFile
from portico.system.rights import folder_of


class DiskPemFiles:
    """With the rights of who can write a file's folder (docs/decisions/0016)."""

    async def write(self, certificate: Certificate, files: Iterable[PemFile]) -> list[str]:
        return await asyncio.to_thread(lambda: list(_write_all(certificate, files)))


def _write_all(certificate: Certificate, files: Iterable[PemFile]) -> Iterator[str]:
    for file in files:
        try:
            _write(file, b"".join(_source(certificate, part).read_bytes() for part in file.parts))
        except OSError as error:
            yield f"cannot write {file.path}: {error.strerror}"
        except LookupError as error:
            yield f"cannot write {file.path}: {error.args[0]}"


def _source(certificate: Certificate, part: Part) -> Path:
    match part:
        case "privkey":
            return Path(certificate.files.key)
        case "fullchain":
            return Path(certificate.files.certificate)
        case "cert":
            return Path(certificate.cert)
        case "chain":
            return Path(certificate.chain)


def _write(file: PemFile, content: bytes) -> None:
    """A file in the place of the one there, unless it is the same. Raises OSError, LookupError.

    By the descriptor of its folder, with the rights of who can write that (docs/decisions/0016):
    `system.files` writes by path, with all of ours.
    """
    owner = _number(file.owner, "user", lambda name: pwd.getpwnam(name).pw_uid)
    group = _number(file.group, "group", lambda name: grp.getgrnam(name).gr_gid)
    with folder_of(file.path) as (folder, name):
        if _is_there(folder, name, file, content, owner, group):
            return
        new = f".{name}.new"
        _remove(folder, new)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o600, dir_fd=folder), "wb") as opened:
            os.fchown(opened.fileno(), owner, group)
            os.fchmod(opened.fileno(), file.mode)
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_there(
    folder: int, name: str, file: PemFile, content: bytes, owner: int, group: int
) -> bool:
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as opened:
        seen = os.fstat(descriptor)
        is_same = (
            stat.S_ISREG(seen.st_mode)
            and stat.S_IMODE(seen.st_mode) == file.mode
            and owner in {-1, seen.st_uid}
            and group in {-1, seen.st_gid}
        )
        return is_same and opened.read(len(content) + 1) == content


def _remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _number(name: str | None, kind: str, lookup: Callable[[str], int]) -> int:
    """-1 leaves what is, as in chown(2)."""
    if name is None:
        return -1
    try:
        return int(name) if name.isdecimal() else lookup(name)
    except KeyError:
        raise LookupError(f"there is no {kind} {name!r}") from None
