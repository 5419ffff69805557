"""Another user of this machine: a real account, made for one test and removed after it."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

IN_USE: Final = 8  # userdel(8): the user has processes
REASON: Final = "only root can make another user of this machine"


class Neighbour:
    """Runs programs with the rights of that user and nothing of ours but PATH."""

    def __init__(self, name: str) -> None:
        self.name = name
        found = pwd.getpwnam(name)
        self.uid, self.gid = found.pw_uid, found.pw_gid
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, command: Sequence[str | Path], *, cwd: Path = Path("/"), **environ: str
    ) -> subprocess.Popen[str]:
        """Start a program of his that goes on; it is killed at the end of the test."""
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=(),
        )
        self._started.append(process)
        return process

    def run(
        self, command: Sequence[str | Path], *, seconds: float = 60, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of his to its end; its output and errors are in `stdout`."""
        process = self.start(command, **environ)
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, "")

    def python(
        self, code: str, *args: str, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a piece of Python as him, with the system's own interpreter."""
        return self.run([interpreter(), "-c", code, *args], seconds=seconds)

    def start_python(self, code: str, *args: str) -> subprocess.Popen[str]:
        return self.start([interpreter(), "-u", "-c", code, *args])

    def close(self) -> None:
        """End what is his, by pid, and remove the account. A daemon may start programs as him
        again: then userdel refuses (8), and those end as well.
        """
        deadline = time.monotonic() + 60
        while True:
            self._end_processes()
            remove = ["userdel", self.name]
            done = subprocess.run(remove, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                return
            assert done.returncode == IN_USE, done.stderr
            assert time.monotonic() < deadline, done.stderr

    def _end_processes(self) -> None:
        his = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self.uid in process.uids():
                    process.kill()
                    his.append(process)
        for process in self._started:
            process.wait(60)
            if process.stdout:
                process.stdout.close()
        psutil.wait_procs(his, 60)


def make_neighbour() -> Neighbour:
    """Skips the test where this is not root."""
    if os.geteuid() != 0:
        pytest.skip(REASON)
    name = f"portico-{secrets.token_hex(4)}"
    command = ["useradd", "--no-create-home", "--home-dir", "/nonexistent", "--user-group", name]
    subprocess.run(command, check=True, capture_output=True)
    return Neighbour(name)


def interpreter() -> str:
    """A Python that every user may run: that of the tests may lie below /root."""
    for path in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable):
        resolved = Path(path).resolve()
        if resolved.exists() and all(p.stat().st_mode & 0o001 for p in resolved.parents):
            return path
    pytest.skip("there is no Python that another user may run")
