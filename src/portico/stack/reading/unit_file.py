"""Unit files of systemd as lists of settings (systemd.syntax(7)), with their drop-ins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.stack.model import Place, Setting, UnitFile
from portico.stack.reading.text_files import plain_text

_HEADING: Final = re.compile(r"\[([^\]]+)\]")
_SPECIFIER: Final = re.compile(r"%(.)")


def read_unit_file(path: Path) -> UnitFile:
    """Raises Failed where it cannot be read, or has a line that is none of a unit."""
    paths = [path, *_drop_ins(path)]
    settings: list[Setting] = []
    for each in paths:
        for setting in _settings(each, plain_text(each)):
            if setting.value:
                settings.append(setting)
            else:
                same = (setting.section, setting.key)
                settings = [kept for kept in settings if (kept.section, kept.key) != same]
    return UnitFile(str(path), tuple(settings), tuple(map(str, paths)))


def filled_in(text: str, name: str) -> str:
    """With the specifiers that the unit's name, `web@3000.service`, and the system decide."""
    whole, _, kind = name.rpartition(".")
    prefix, _, instance = whole.partition("@")
    known = {
        "%": "%", "i": instance, "I": instance.replace("-", "/"), "n": name, "N": whole,
        "p": prefix, "P": prefix.replace("-", "/"), "j": prefix.rpartition("-")[2],
        "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc",
        "T": "/tmp", "V": "/var/tmp",  # noqa: S108 - what systemd puts there
    } if kind else {}  # fmt: skip
    return _SPECIFIER.sub(lambda found: known.get(found[1], found[0]), text)


def _drop_ins(path: Path) -> list[Path]:
    return sorted(each for each in Path(f"{path}.d").glob("*.conf") if each.is_file())


def _settings(path: Path, text: str) -> Iterator[Setting]:
    section = ""
    for number, line in _logical_lines(text):
        if heading := _HEADING.fullmatch(line):
            section = heading[1]
            continue
        key, equals, value = line.partition("=")
        if not equals or not section:
            raise Failed(f"cannot read {path}: line {number} is not a line of a systemd unit")
        yield Setting(section, key.strip(), value.strip(), Place(str(path), number))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each with the number of its first line; a backslash at the end joins the next one, and
    comments in between are left out.
    """
    start, joined = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not joined):
            continue
        start = start if joined else number
        if line.endswith("\\"):
            joined += f"{line[:-1].rstrip()} "
            continue
        yield start, (joined + line).strip()
        joined = ""
    if joined.strip():
        yield start, joined.strip()
