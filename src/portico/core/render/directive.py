"""nginx configuration as a tree: `listen 80;` is `directive("listen", "80")`.

Whatever an operator wrote is one argument in the text that comes out, or is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from portico.core.model.variables import expand
from portico.errors import Refused

_is_plain = re.compile(r"[][A-Za-z0-9_./:@%+,=*-]+").fullmatch
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
MAX_ARGUMENT_SIZE: Final = 4000
"""Bytes; nginx reads its file in pieces of 4,096 and no argument may be longer."""
MAX_SHOWN_LENGTH: Final = 60
_MAP_WORDS: Final = frozenset({"default", "hostnames", "include", "volatile"})
LINES_KEPT: Final = 1024
"""Lines for which a directive is kept, because they are written again and again."""
DOLLAR: Final = "portico_dollar"
"""A variable that holds `$`: nginx expands variables even in quotes and has no escape for it."""


class Raw(str):
    """nginx syntax that Portico wrote itself, `$host`; written as it is. Never operator text."""

    __slots__ = ()


class WithDollar(str):
    """Text in which `$` is meant: a regex, or the variables in the key of a hash."""

    __slots__ = ()


class Directive(NamedTuple):
    head: str
    block: tuple[Directive, ...] | None = None


def directive(name: str, *args: str, block: Iterable[Directive] | None = None) -> Directive:
    """`name` is written as it is; Refused for an argument that cannot stand in nginx's file."""
    if block is None:
        return _line(name, *args)
    return Directive(_head(name, args), tuple(block))


@lru_cache(maxsize=LINES_KEPT, typed=True)
def _line(name: str, *args: str) -> Directive:
    """Most lines of a site are those of the others too. By type as well: quotes depend on it."""
    return Directive(_head(name, args))


def _head(name: str, args: tuple[str, ...]) -> str:
    return " ".join((name, *map(quote, args))) if args else name


def variable_map(source: str, variable: str, default: str, *lines: Directive) -> Directive:
    """What `$variable` is by a source (nginx `map`); source and default are nginx syntax."""
    block = (directive("default", Raw(default)), *lines)
    return directive("map", Raw(source), Raw(f"${variable}"), block=block)


def map_key(text: str) -> str:
    """A value in a `map`; nginx takes these words for something else without a backslash."""
    return Raw(f"\\{text}") if text in _MAP_WORDS else text


def to_text(directives: Iterable[Directive]) -> str:
    lines: list[str] = []
    _write(directives, "", lines)
    return "".join(lines)


def literal(text: str) -> WithDollar:
    """Text for an argument in which nginx expands variables, with every `$` kept as it is."""
    return WithDollar(text.replace("$", f"${{{DOLLAR}}}"))


def with_variables(text: str) -> WithDollar:
    """The same for text whose variables (`model/variables.py`) are meant."""
    return WithDollar(expand(text, literal, "${{{}}}".format))


def milliseconds(seconds: float) -> str:
    """A length of time for a directive that counts milliseconds: `30s`, `1500ms`."""
    whole = round(seconds * 1000)
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"


def whole_seconds(seconds: float) -> str:
    return f"{math.ceil(seconds)}s"


def size(count: int) -> str:
    """Bytes as nginx writes them: `1m`, `512k`, `1000`."""
    for unit, letter in ((1 << 20, "m"), (1 << 10, "k")):
        if count and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)


def _write(directives: Iterable[Directive], margin: str, into: list[str]) -> None:
    for item in directives:
        if item.block is None:
            into.append(f"{margin}{item.head};\n")
        elif not item.block:
            into.append(f"{margin}{item.head} {{ }}\n")
        else:
            into.append(f"{margin}{item.head} {{\n")
            _write(item.block, margin + "    ", into)
            into.append(margin + "}\n")


def quote(arg: str) -> str:
    """Return `arg` so that it stays one argument, whatever an operator wrote.

    A backslash is taken off by nginx before a quote and a backslash, in quotes or not
    (ngx_conf_read_token); bytes above 0x7f mean nothing to it.
    """
    if type(arg) is Raw or _is_plain(arg):
        fit = arg
    elif _UNPRINTABLE.search(arg):
        raise _cannot_write(arg, "it has a control character")
    elif "$" in arg and not isinstance(arg, WithDollar):
        raise _cannot_write(arg, 'nginx would read "$" as the start of a variable')
    else:
        fit = '"' + arg.replace("\\", r"\\").replace('"', r"\"") + '"'
    if len(fit) > MAX_ARGUMENT_SIZE // 4 and len(fit.encode()) > MAX_ARGUMENT_SIZE:
        raise _cannot_write(arg, f"it is longer than {MAX_ARGUMENT_SIZE} bytes")
    return fit


def _cannot_write(arg: str, why: str) -> Refused:
    shown = arg if len(arg) <= MAX_SHOWN_LENGTH else arg[:MAX_SHOWN_LENGTH] + "..."
    return Refused(
        f"cannot write {shown!a} into nginx's configuration: {why}; nothing was changed"
    )
