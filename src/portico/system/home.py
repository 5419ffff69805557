"""PORTICO_HOME: all state of one installation, and where in it each thing lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.errors import Refused
from portico.system.ownership import assert_own

ALREADY_SERVED: Final = 4
"""The exit code of a daemon that finds another one in its home."""
MAX_SOCKET_PATH_LENGTH = 107  # sun_path of unix(7), less its closing zero


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @classmethod
    def find(cls, environ: Mapping[str, str], *, root: bool) -> Home:
        """PORTICO_HOME, else /var/lib/portico as root, else the XDG state folder."""
        if setting := environ.get("PORTICO_HOME"):
            home = cls(Path(setting).absolute())
        elif root:
            home = cls(Path("/var/lib/portico"))
        else:
            state = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '/')}/.local/state"
            home = cls(Path(state) / "portico")
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
        return home

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

    @property
    def socket(self) -> Path:
        return self.path / "api.sock"

    @property
    def database(self) -> Path:
        return self.path / "portico.db"

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
    def nginx(self) -> Path:
        return self.path / "nginx"

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
