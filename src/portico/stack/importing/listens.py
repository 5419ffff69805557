"""Where servers listen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from portico.core.model.nginx_lines import Line


@dataclass(frozen=True, slots=True)
class Listen:
    address: str
    """`*`, `127.0.0.1`, `[::]`; empty for a unix socket."""
    port: int
    tls: bool
    is_default: bool
    line: Line | None = None


def listens_of(block: Iterable[Line]) -> tuple[Listen, ...]:
    lines = list(block)
    on = any(line.name == "ssl" and line.args == ("on",) for line in lines)
    found = [_listen(line, on=on) for line in lines if line.name == "listen" and line.args]
    return tuple(found) or (Listen("*", 80, tls=on, is_default=False),)


def _listen(line: Line, *, on: bool) -> Listen:
    text, *options = line.args
    tls = on or "ssl" in options or "quic" in options
    default = "default_server" in options or "default" in options
    if text.startswith("unix:"):
        return Listen("", 0, tls, default, line)
    found = re.fullmatch(r"(?:(\[[0-9a-fA-F:]+\]|[^:]+):)?([0-9]+)", text)
    if found:
        return Listen(found[1] or "*", int(found[2]), tls, default, line)
    return Listen(text, 80, tls, default, line)
