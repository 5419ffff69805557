"""What a Dockerfile says of the program in its image."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_INSTRUCTION: Final = re.compile(
    r"^[ \t]*(FROM|CMD|ENTRYPOINT|EXPOSE|WORKDIR|ENV)[ \t]+((?:.*\\\n)*.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_ASSIGNMENT: Final = re.compile(r"(\w+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = ""
    port: int | None = None
    env: Mapping[str, str] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.entrypoint, *self.command)


def read_dockerfile(text: str) -> Dockerfile:
    """Of its last stage. What it builds is left out."""
    found: dict[str, str] = {}
    env: dict[str, str] = {}
    for name, raw in _INSTRUCTION.findall(text):
        value = raw.replace("\\\n", " ").strip()
        match name.upper():
            case "FROM":
                found, env = {}, {}
            case "ENV":
                env |= _variables(value)
            case kind:
                found[kind] = value
    exposed = re.match(r"\d{1,5}", found.get("EXPOSE", ""))
    return Dockerfile(
        words_of(found.get("ENTRYPOINT", "")),
        words_of(found.get("CMD", "")),
        found.get("WORKDIR", ""),
        int(exposed[0]) if exposed else None,
        env,
    )


def words_of(value: object) -> tuple[str, ...]:
    """Of a command as a list, as JSON, or as a text that a shell would run."""
    if isinstance(value, list):
        return tuple(map(str, value))
    text = str(value).strip() if value is not None else ""
    if text.startswith("["):
        try:
            return tuple(map(str, json.loads(text)))
        except (ValueError, RecursionError):
            pass
    try:
        words = shlex.split(text)
    except ValueError:
        return ("/bin/sh", "-c", text)
    needs_shell = any(sign in text for sign in ("&&", "||", "|", ";", ">", "<", "$(", "`"))
    return ("/bin/sh", "-c", text) if needs_shell else tuple(words)


def _variables(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    pairs = [found for word in words if (found := _ASSIGNMENT.fullmatch(word))]
    if len(pairs) == len(words):
        return {found[1]: found[2] for found in pairs}
    return {words[0]: " ".join(words[1:])} if len(words) > 1 else {}
