"""What starts the former stack at boot, and what renews certificates in Portico's place: units of
systemd and lines of crontabs, disabled by `portico switch` and enabled again by `--back`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from portico.core.model.renewers import Renewer
from portico.errors import Failed, PorticoError
from portico.importers.certbot import DEFAULT as CERTBOT
from portico.importers.renewers import all_renewers, is_of_certbot
from portico.stack.model import Lineage
from portico.stack.reading.certbot import read_certbot
from portico.system import files
from portico.system.commands import run_tool
from portico.system.proc import units_of
from portico.system.rights import other_writer

TIMEOUT: Final = 60.0
"""Seconds for one call of systemctl, or of crontab."""
MARK: Final = "# portico switch: "
"""Before a line of a crontab that is disabled."""
_SPOOL: Final = re.compile(r"/var/spool/cron/(?:crontabs/|tabs/)?(?P<user>[^/]+)")
_BOOT: Final = "etc/systemd/system/*.wants"
_SCRIPTS: Final = re.compile(r"/etc/cron\.(hourly|daily|weekly|monthly)/")


@dataclass(frozen=True, slots=True)
class Job:
    kind: Literal["unit", "timer", "crontab"]
    """A timer is started and stopped, too."""
    name: str
    """Of a unit; of a crontab its path."""
    line: str = ""
    """Of a crontab."""

    def __str__(self) -> str:
        return f"`{self.line}` in {self.name}" if self.line else f"{self.name} of systemd"

    @property
    def undo(self) -> str:
        """How an operator enables it again by hand."""
        if self.kind == "crontab":
            return f"remove `{MARK.strip()}` before it"
        return f"systemctl enable{' --now' if self.kind == 'timer' else ''} {self.name}"


def boot_units(nginx: int, *, with_pm2: bool, root: Path = Path("/")) -> Iterator[Job]:
    """The enabled units of that nginx and, if asked for, of PM2; none without systemd."""
    if not (root / "run/systemd/system").exists():
        return
    enabled = {each.name for each in root.glob(f"{_BOOT}/*.service")}
    own = {*units_of(nginx), "nginx.service"}
    for name in sorted(enabled):
        if name in own or (with_pm2 and re.fullmatch(r"pm2(-.+)?\.service", name)):
            yield Job("unit", name)


def renewal_jobs(ours: Collection[str], root: Path = Path("/")) -> tuple[list[Job], list[Renewer]]:
    """certbot's, where it would renew nothing but names whose certificates Portico renews; and
    those that are left, because of what other programs renew nothing is known.
    """
    lineages = _lineages(root / CERTBOT.relative_to("/"))
    renewed = [each for each in lineages if each.params.get("autorenew", "True") != "False"]
    is_taken = bool(lineages) and all(
        each.names and set(each.names) <= set(ours) for each in renewed
    )
    jobs, left = [], []
    for each in all_renewers(root):
        job = _job(each) if is_taken and is_of_certbot(each) else None
        if job:
            jobs.append(job)
        else:
            left.append(each)
    return jobs, left


def _lineages(folder: Path) -> tuple[Lineage, ...]:
    with suppress(PorticoError):
        return read_certbot(folder).lineages
    return ()


def _job(renewer: Renewer) -> Job | None:
    """None of a script: a line in the middle of one cannot be taken away."""
    file, _, number = renewer.where.rpartition(":")
    if not number.isdecimal():
        return Job("timer", renewer.what)
    return None if _SCRIPTS.search(file) else Job("crontab", file, renewer.what)


def disable(job: Job, environ: Mapping[str, str]) -> None:
    """Raises Failed."""
    if job.kind == "crontab":
        _replace(job, job.line, MARK + job.line, environ)
    else:
        _systemctl(("disable", *_now_option(job), job.name), environ)


def enable(job: Job, environ: Mapping[str, str]) -> None:
    """Undo `disable`. Raises Failed."""
    if job.kind == "crontab":
        _replace(job, MARK + job.line, job.line, environ)
    else:
        _systemctl(("enable", *_now_option(job), job.name), environ)


def _now_option(job: Job) -> tuple[str, ...]:
    return ("--now",) if job.kind == "timer" else ()


def _systemctl(words: Sequence[str], environ: Mapping[str, str]) -> None:
    _run(("systemctl", *words), environ)


def _replace(job: Job, before: str, after: str, environ: Mapping[str, str]) -> None:
    """One line of a crontab by another; that of a user through cron's own program."""
    user = _SPOOL.fullmatch(job.name)
    path = Path(job.name).resolve()
    text = _run(("crontab", "-u", user["user"], "-l"), environ) if user else _text(path)
    lines = text.splitlines(keepends=True)
    changed = [
        after + each[len(each.rstrip()) :] if each.strip() == before else each for each in lines
    ]
    if changed == lines:
        raise Failed(f"{job.name} has no line `{before}`; it is unchanged")
    if user:
        _run(("crontab", "-u", user["user"], "-"), environ, "".join(changed))
    else:
        _write(path, "".join(changed))


def _text(path: Path) -> str:
    if other := other_writer(path):
        raise Failed(f"{path} can be replaced by {other}; it is unchanged")
    try:
        return path.read_text(errors="surrogateescape")
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        files.write(path, text.encode(errors="surrogateescape"), path.stat().st_mode & 0o777)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}; it is unchanged") from error


def _run(words: Sequence[str], environ: Mapping[str, str], text: str = "") -> str:
    done = run_tool(words, environ, seconds=TIMEOUT, text=text)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise Failed(f"`{' '.join(words)}` failed: {said[:300]}")
    return done.stdout
