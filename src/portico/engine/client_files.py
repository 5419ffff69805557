"""The files of `client_certificates`, which others renew: the last contents that nginx can use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.core.model.desired import Desired, absolute

_MAX_PEM_SIZE: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class NamedFile:
    site: str
    where: str
    """The key of the operator's file."""
    path: str
    """Absolute."""
    is_crl: bool = False


@dataclass(frozen=True, slots=True)
class ClientFile:
    named: NamedFile
    text: str | None
    """What nginx is given; None where nothing was readable yet."""
    problem: str
    """What is wrong with the file now; empty if it can be used."""


class ClientFiles:
    """Several threads may read at a time."""

    def __init__(self) -> None:
        self._usable: dict[str, str] = {}

    def read(self, desired: Desired) -> dict[str, ClientFile]:
        """By path. While a file cannot be used its former contents are. Blocks."""
        return {named.path: self._file(named) for named in files_of_clients(desired)}

    def texts(self, desired: Desired) -> dict[str, str]:
        """What nginx is given, by path. Blocks."""
        files = self.read(desired).items()
        return {path: file.text for path, file in files if file.text is not None}

    def _file(self, named: NamedFile) -> ClientFile:
        text, former = _pem(named.path), self._usable.get(named.path)
        if text is not None and text == former:
            return ClientFile(named, text, "")
        problem = _problem(named, text)
        if text is not None and not problem:
            self._usable[named.path] = text
            return ClientFile(named, text, "")
        return ClientFile(named, text if former is None else former, problem)


def files_of_clients(desired: Desired) -> Iterator[NamedFile]:
    for name, site in desired.sites.items():
        if asked := site.client_certificates:
            where, folder = f'sites."{name}".client_certificates', desired.origin(name).folder
            yield NamedFile(name, f"{where}.authority", absolute(asked.authority, folder))
            if asked.crl:
                path = absolute(asked.crl, folder)
                yield NamedFile(name, f"{where}.crl", path, is_crl=True)


def problem_of(named: NamedFile) -> str:
    """Why nginx would refuse the file, and all sites with it; empty if it would not. Blocks."""
    return _problem(named, _pem(named.path))


def _problem(named: NamedFile, text: str | None) -> str:
    from portico.system.x509 import is_readable  # noqa: PLC0415 - 10 MB, which few files need

    if text is None:
        state = "cannot be read" if Path(named.path).exists() else "does not exist"
        return f"{named.path} {state}"
    if not is_readable(text.encode(), is_crl=named.is_crl):
        kind = "list of revoked certificates" if named.is_crl else "certificate"
        return f"{named.path} has no {kind} in PEM form"
    return ""


def _pem(path: str) -> str | None:
    """The text of a file; None if there is none, or it is no plain file of such a size."""
    try:
        if not Path(path).is_file() or Path(path).stat().st_size > _MAX_PEM_SIZE:
            return None
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
