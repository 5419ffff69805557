"""Crontabs (crontab(5)), and the folders of scripts that cron runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portico.importers.renewers import renews
from portico.stack.model import Gap, Place, Renewal, Stack
from portico.stack.reading.text_files import plain_text, quote_line

SCRIPTS: Final = re.compile(r"cron\.(hourly|daily|weekly|monthly)")
"""Folders whose files are scripts, not crontabs."""
_JOB: Final = re.compile(r"\s*(?P<when>@[A-Za-z]+|\S+(?:\s+\S+){4})\s+(?P<rest>\S.*)")
_VARIABLE: Final = re.compile(r"\s*[A-Za-z_]\w*\s*=")
_USER: Final = re.compile(r"\S+\s+(?P<command>\S.*)")
_USER_COLUMN: Final = re.compile(r"^#.*\bdow\s+user\b", re.MULTILINE)


def read_crontab(path: Path) -> Stack:
    """A crontab, a script, or a folder of them. Raises Failed where it cannot be read."""
    if path.is_dir():
        named = (each for each in sorted(path.iterdir()) if re.fullmatch(r"[\w-]+", each.name))
        return sum((read_crontab(each) for each in named if each.is_file()), Stack())
    text = plain_text(path)
    found = _script(path, text) if SCRIPTS.fullmatch(path.parent.name) else _table(path, text)
    jobs = tuple(found)
    return Stack(
        renewals=tuple(job for job in jobs if isinstance(job, Renewal)),
        gaps=tuple(job for job in jobs if isinstance(job, Gap)),
        files=(str(path),),
    )


def _script(path: Path, text: str) -> Iterator[Renewal | Gap]:
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    renewing = [(n, line) for n, line in lines if not line.startswith("#") and renews(line)]
    for number, line in renewing:
        yield Renewal(Place(str(path), number), line)
    if not renewing:
        yield Gap(Place(str(path)), path.name, "cron continues to run this script")


def _table(path: Path, text: str) -> Iterator[Renewal | Gap]:
    with_user = (
        path.parent.name == "cron.d"
        or path.parts[-2:] == ("etc", "crontab")
        or _USER_COLUMN.search(text) is not None
    )
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or _VARIABLE.match(line):
            continue
        place, job = Place(str(path), number), _JOB.fullmatch(line)
        command = _USER.fullmatch(job["rest"]) if job and with_user else None
        if job is None or (with_user and command is None):
            yield Gap(place, quote_line(line), "this is not a line of a crontab")
        elif renews(line):
            yield Renewal(place, command["command"] if command else job["rest"])
        else:
            yield Gap(place, quote_line(line), _gap_text(" ".join(job["when"].split())))


def _gap_text(when: str) -> str:
    if when == "@reboot":
        return "cron continues to run it; `portico startup` starts apps at boot"
    return f'cron continues to run it; an app with schedule = "{when}" is run at the same times'
