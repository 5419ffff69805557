"""Programs of the operator, told in certbot's variables what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Final

from portico.adapters.acme.child.challenges.dns.publisher import Entry
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import setup_failure
from portico.adapters.acme.methods import Command
from portico.system.proc import descendants
from portico.system.programs import SEARCH_PATH

MAX_OUTPUT_LENGTH: Final = 100_000  # characters, as much as an environment can take
MAX_ERROR_LENGTH: Final = 300


class Programs:
    def __init__(self, settings: Command) -> None:
        self._settings = settings

    @property
    def publisher_name(self) -> str:
        return f"command {self._settings.auth[0]}"

    def check(self, entry: Entry, _context: RunContext) -> None:
        path = self._settings.environ.get("PATH", SEARCH_PATH)
        for argv in filter(None, (self._settings.auth, self._settings.cleanup)):
            if not shutil.which(argv[0], path=path):
                raise setup_failure(f"cannot run {argv[0]} for {entry.domain}: no such program")

    def put(self, entry: Entry, context: RunContext) -> str:
        return self._run(self._settings.auth, entry, context)

    def remove(self, entry: Entry, output: str, context: RunContext) -> None:
        if self._settings.cleanup:
            self._run(self._settings.cleanup, entry, context, CERTBOT_AUTH_OUTPUT=output)

    def _run(self, argv: Sequence[str], entry: Entry, context: RunContext, **more: str) -> str:
        environ = {"PATH": SEARCH_PATH, **self._settings.environ, **_variables(entry), **more}
        what = f"run {argv[0]} for {entry.domain}"
        limit = context.timeout(self._settings.deadline, f"trying to {what}")
        try:
            ran = _finish(argv, environ, limit)
        except subprocess.TimeoutExpired:
            raise setup_failure(
                f"cannot {what}: it timed out after {limit:g} s and was stopped"
            ) from None
        except OSError as error:
            raise setup_failure(f"cannot {what}: {error.strerror}") from error
        if ran.returncode:
            words = (ran.stderr.strip() or ran.stdout.strip())[-MAX_ERROR_LENGTH:]
            raise setup_failure(
                f"cannot {what}: it exited with code {ran.returncode}: {words or 'no output'}"
            )
        return ran.stdout.strip()[:MAX_OUTPUT_LENGTH]


def _variables(entry: Entry) -> dict[str, str]:
    return {
        "CERTBOT_DOMAIN": entry.domain,
        "CERTBOT_IDENTIFIER": entry.domain,
        "CERTBOT_VALIDATION": entry.value,
        "CERTBOT_ALL_DOMAINS": ",".join(entry.all_domains),
        "CERTBOT_REMAINING_CHALLENGES": str(entry.remaining),
    }


def _finish(
    argv: Sequence[str], environ: dict[str, str], limit: float
) -> subprocess.CompletedProcess[str]:
    """It stays in our process group, so that whoever stops us stops it as well."""
    with subprocess.Popen(  # noqa: S603 - what the operator wrote, and no shell
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill_all(process)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _kill_all(process: subprocess.Popen[str]) -> None:
    """With what it has started, which would hold its output open."""
    for each in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each.pid, signal.SIGKILL)
    process.kill()
