"""Why an instance ended or is not ready, in one clause to follow its name.

A program says why it dies in its last lines, each language in its own words. What is known of
them is the table `_CAUSES`; where none matches, its own last words are quoted.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from portico.core.model.instance import Exit, ListeningPort

MAX_LINE_LENGTH: Final = 300
READY_NOT_REPORTED: Final = (
    "wait_ready is set, but it did not send sd_notify READY=1 or process.send('ready')"
)
_BACKGROUND_TEXT: Final = (
    "it exited without an error; if it continues in the background, start it in the foreground"
)
_REACHABLE_ADDRESSES: Final = frozenset({"127.0.0.1", "*"})
_LOWEST_FREE_PORT: Final = 1024

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_IN_USE_ERROR = re.compile(
    r"EADDRINUSE|address (is )?already in use|AddrInUse|Connection in use: |port .* in use"
    r"|failed to listen on|only one usage of each socket address",
    re.IGNORECASE,
)
_LISTEN_DENIED = re.compile(
    r"(listen|bind)\b.*(EACCES|permission denied)|(EACCES|permission denied).*\b(listen|bind)\b",
    re.IGNORECASE,
)
_PORT = re.compile(r"(?:port:? ?[='\"]?|[:\]]|', )(\d{3,5}|80)\b", re.IGNORECASE)
_MISSING_PACKAGE = re.compile(
    r"Cannot find (?:module|package) ['\"](?P<node>[^'\"]+)"
    r"|No module named ['\"]?(?P<python>[\w.]+)"
    r"|cannot load such file -- (?P<ruby>\S+)"
    r"|Can't locate (?P<perl>\S+) in @INC"
    r"|Could not find or load main class (?P<java>\S+)"
)
_NO_PROGRAM = re.compile(r"\b\w*sh: (?:line )?(?:\d+: )?(\S+): (?:command )?not found")
_NO_SCRIPT = re.compile(r"can't open file ['\"](?P<python>[^'\"]+)|No such file.*-- (?P<ruby>\S+)")
_SYNTAX = re.compile(r"^\s*((?:Syntax|Indentation|Tab)Error\b.*)|((?:Parse|syntax) error[:,].*)")
_PLACE = re.compile(r"^(?:file://)?(/\S+:\d+)$|^\s*File \"([^\"]+)\", line (\d+)$")
_OUT_OF_HEAP = re.compile(r"JavaScript heap out of memory|java\.lang\.OutOfMemoryError")
_ERROR_LINE = re.compile(r"\b\w*(?:error|exception|panic|fatal|failed|cannot)\b", re.IGNORECASE)
_EMPTY_LINES = re.compile(r"^\s*(?:at |File \"|\^|[{}\])>.~-]*$|Node\.js v\d|node:internal)")


def explain(
    ending: Exit,
    lines: Sequence[str],
    *,
    port: int,
    port_env: str = "PORT",
    uptime: float | None = None,
    holder: str | None = None,
) -> str:
    """`exited with code 1 after 0.3s: port 3000 is in use: make it listen on $PORT (41003)`.

    `lines` are the last ones this very process wrote, `uptime` is in seconds, and `holder` is
    what listens on its port now, if anything.
    """
    after = "" if uptime is None else f" after {_seconds(uptime)}"
    cause = _cause(ending, [_plain(line) for line in lines], port, port_env, holder)
    return _ending(ending) + after + (f": {cause}" if cause else "")


def without_stamps(lines: Sequence[str], form: str | None) -> list[str]:
    """The lines without the time that `logs.timestamp` puts before them."""
    if form is None:
        return list(lines)
    parts = re.split(r"(%[-:]?[A-Za-z])", form)
    stamp = "".join(".{1,20}?" if part[:1] == "%" else re.escape(part) for part in parts)
    return [re.sub(f"^{stamp}: ", "", line) for line in lines]


def explain_end(ending: Exit, uptime: float) -> str:
    """Of a program that was to end: all there is to say, unless something went wrong."""
    if ending == Exit():
        return "exited while no daemon was running, so its exit code is unknown"
    return f"{_ending(ending)} after {_seconds(uptime)}" if ending.code == 0 else ""


def explain_listening(
    port: int,
    listening: Collection[ListeningPort],
    trouble: str,
    limit: float,
    *,
    port_env: str = "PORT",
) -> str:
    """Why an instance was not ready in time, from where it listens and what its check said."""
    waited = _seconds(limit)
    if not listening:
        return (
            f"opened no port within {waited}; if it needs longer, increase ready_timeout "
            "(listen_timeout in a PM2 file)"
        )
    addresses = sorted(each.address for each in listening if each.port == port)
    if not addresses:
        others = ", ".join(map(str, sorted({each.port for each in listening})))
        return f"listens on {others} instead of {port}; make it listen on ${port_env}"
    if _REACHABLE_ADDRESSES.isdisjoint(addresses):
        return (
            f"listens on port {port} of {', '.join(addresses)} only, which nginx does not use; "
            "make it listen on 127.0.0.1"
        )
    return f"was not ready within {waited}: {trouble}"


def _cause(
    ending: Exit, lines: Sequence[str], port: int, port_env: str, holder: str | None
) -> str:
    own = f"; make it listen on ${port_env} ({port})" if port else ""
    tried = _ports(lines, _IN_USE_ERROR)
    if tried is not None:
        return _port_in_use(tried, port, own, holder)
    if (tried := _ports(lines, _LISTEN_DENIED)) is not None:
        return _may_not_listen(tried, own)
    for find in _CAUSES:
        if cause := find(lines):
            return cause
    if ending.signal == signal.SIGKILL:
        return "the machine may have run out of memory"
    words = _last_line(lines)
    return words or (_BACKGROUND_TEXT if ending.code == 0 else "")


def _ports(lines: Iterable[str], pattern: re.Pattern[str]) -> frozenset[int] | None:
    """The ports that such lines name, or None if there is no such line."""
    found = [line for line in lines if pattern.search(line)]
    if not found:
        return None
    named = (_PORT.findall(line) for line in (*found, *_fields(lines)))
    return frozenset(int(ports[-1]) for ports in named if ports)


def _fields(lines: Iterable[str]) -> list[str]:
    """The line `port: 3000` of an error that Node has printed field by field."""
    return [line for line in lines if re.fullmatch(r"\s*port: \d+,?", line)]


def _port_in_use(tried: frozenset[int], port: int, own: str, holder: str | None) -> str:
    if port in tried or (not tried and holder):
        return f"port {port} is in use by {holder or 'another program'}"
    if not tried:
        return f"the port it tried is in use by another program{own}"
    others = ", ".join(map(str, sorted(tried)))
    return f"it tried port {others}, which is in use{own}"


def _may_not_listen(tried: frozenset[int], own: str) -> str:
    low = sorted(port for port in tried if port < _LOWEST_FREE_PORT)
    which = f"port {low[0]}, which only root may use" if low else "its port: permission denied"
    return f"it tried to listen on {which}{own}"


def _missing(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        if found := _MISSING_PACKAGE.search(line):
            name = next(name for name in found.groups() if name)
            if name.startswith(("/", ".")):
                return f"file {name} does not exist"
            return f"module {name} was not found; is it installed?"
        if found := _NO_SCRIPT.search(line):
            return f"file {found['python'] or found['ruby']} does not exist"
        if found := _NO_PROGRAM.search(line):
            return f"its shell did not find program {found[1]}"
    return ""


def _syntax(lines: Sequence[str]) -> str:
    place = ""
    for line in lines:
        if at := _PLACE.match(line):
            place = f" ({at[1] or f'{at[2]}:{at[3]}'})"
        if error := _SYNTAX.search(line):
            return (error[1] or error[2]).strip() + place
    return ""


def _out_of_heap(lines: Sequence[str]) -> str:
    full = any(map(_OUT_OF_HEAP.search, lines))
    return "its heap was full; it leaks memory or needs a higher limit" if full else ""


_CAUSES: Final[tuple[Callable[[Sequence[str]], str], ...]] = (_missing, _syntax, _out_of_heap)


def _last_line(lines: Sequence[str]) -> str:
    """The last line that sounds like an error, else simply the last one that says something."""
    saying = [line.strip() for line in lines if line.strip() and not _EMPTY_LINES.match(line)]
    telling = [line for line in saying if _ERROR_LINE.search(line)]
    return (telling or saying or [""])[-1]


def _plain(line: str) -> str:
    return _CONTROL.sub("", line)[:MAX_LINE_LENGTH]


def _ending(ending: Exit) -> str:
    if ending.signal is None:
        return str(ending)
    try:
        return f"was killed by {signal.Signals(ending.signal).name}"
    except ValueError:  # a real-time signal
        return str(ending)


def _seconds(seconds: float) -> str:
    """`0.3s`, `45s`, `12m`, `3h`, `5d`."""
    if seconds < 10:  # noqa: PLR2004 - a tenth of a second tells nothing more
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
