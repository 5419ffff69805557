"""PORTICO_HOME: all state of one installation, and where in it each thing lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.errors import Refused
from portico.system.account import home_folder_of
from portico.system.files import write
from portico.system.ownership import assert_own

ALREADY_SERVED_CODE: Final = 4
"""The exit code of a daemon that finds another one in its home."""
MAX_SOCKET_PATH_LENGTH = 107  # sun_path of unix(7), less its closing zero


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @classmethod
    def find(cls, environ: Mapping[str, str], *, root: bool) -> Home:
        """PORTICO_HOME, else /var/lib/portico as root, else the XDG state folder. Raises Refused
        where none can be chosen or the path cannot be a folder.
        """
        setting = environ.get("PORTICO_HOME")
        home = cls(Path(setting).absolute()) if setting else cls.default(environ, root=root)
        if home is None:
            raise Refused(
                f"user {os.geteuid()} has no home folder: HOME is not set, and the password "
                "database does not have the user; set PORTICO_HOME to a folder of this user"
            )
        if not str(home.path).isprintable():  # it is written into units, crontabs and messages
            raise Refused(
                f"cannot use {str(home.path)!a} as PORTICO_HOME: it has unprintable characters; "
                "choose another folder"
            )
        if len(str(home.socket)) > MAX_SOCKET_PATH_LENGTH:
            raise Refused(
                f"cannot use {home.path} as PORTICO_HOME: the path of a unix socket in it would "
                f"be longer than {MAX_SOCKET_PATH_LENGTH} characters; choose a shorter folder"
            )
        if file := next((at for at in (home.path, *home.path.parents) if at.is_file()), None):
            raise Refused(
                f"cannot use {home.path} as PORTICO_HOME: {file} is a file; choose a folder"
            )
        return home

    @classmethod
    def default(cls, environ: Mapping[str, str], *, root: bool) -> Home | None:
        """Where PORTICO_HOME is not set. None of a user without a home folder."""
        if root:
            return cls(Path("/var/lib/portico"))
        if state := environ.get("XDG_STATE_HOME"):
            return cls(Path(state) / "portico")
        folder = environ.get("HOME") or home_folder_of(os.geteuid())
        return cls(Path(folder) / ".local/state/portico") if folder else None

    def make(self) -> None:
        """Create the folders. Keys, environments and logs are for this user alone; nginx's
        workers, another user, only pass through to the files of their generation.

        Refused where others could write in the home, or put another one in its place.
        """
        for folder in reversed([each for each in self.path.parents if not each.exists()]):
            folder.mkdir(mode=0o755, exist_ok=True)
        self.path.mkdir(mode=0o711, exist_ok=True)
        assert_own(self.path, os.geteuid())
        self.nginx.mkdir(mode=0o711, exist_ok=True)
        for folder in (self.logs, self.certificates):
            folder.mkdir(mode=0o700, exist_ok=True)

    def assert_no_copy(self) -> None:
        """Refused where it was copied from a home that is still there: the processes in its
        database are those of the other one.
        """
        try:
            place = Path(self._place.read_text())
            copied = (place / self.database.name).exists() and not place.samefile(self.path)
        except OSError:
            return
        if copied:
            raise Refused(
                f"cannot use {self.path} as PORTICO_HOME: it is a copy of {place} and would stop "
                f"what runs there; use {place}, or an empty folder"
            )

    def claim(self) -> None:
        """Record where it lies, so that a copy of it is known as one. Refused for a copy."""
        self.assert_no_copy()
        with suppress(OSError):  # on a full disk the daemon starts without
            if not self._place.exists() or self._place.read_text() != str(self.path.resolve()):
                write(self._place, str(self.path.resolve()))

    @property
    def _place(self) -> Path:
        return self.path / "place"

    @property
    def socket(self) -> Path:
        return self.path / "api.sock"

    @property
    def database(self) -> Path:
        return self.path / "portico.db"

    @property
    def edge_file(self) -> Path:
        """Where an operator may set what no project's file is to: `[edge]`."""
        return self.path / "edge.toml"

    @property
    def lock(self) -> Path:
        return self.path / "daemon.lock"

    @property
    def deaths(self) -> Path:
        """How often in a row a bug has ended the daemon; absent while none has."""
        return self.path / "daemon.deaths"

    @property
    def daemon_log(self) -> Path:
        return self.path / "logs" / "porticod.log"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def traffic(self) -> Path:
        """What was counted of requests, and how far access logs were read for that."""
        return self.path / "traffic"

    @property
    def nginx(self) -> Path:
        return self.path / "nginx"

    @property
    def nginx_builds(self) -> Path:
        """What `portico nginx build` made: `VERSION-HASH/nginx`."""
        return self.path / "nginx-builds"

    @property
    def notify(self) -> Path:
        """Where programs say that they are ready: a name no longer than that of `socket`."""
        return self.path / "notify"

    @property
    def send(self) -> Path:
        return self.path / "send"

    @property
    def launch(self) -> Path:
        """Where the launcher starts programs for a daemon whose rights are cut."""
        return self.path / "launch"

    @property
    def preload(self) -> Path:
        return self.path / "process-send.cjs"

    @property
    def certificates(self) -> Path:
        return self.path / "certificates"

    @property
    def cluster(self) -> Path:
        """Who this machine is among others (`cluster_identity`); absent where it is alone."""
        return self.path / "cluster"
