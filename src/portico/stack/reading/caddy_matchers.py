"""Caddy's request matchers as the keys of routes and their conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.reading.text_files import quote_line


@dataclass(frozen=True, slots=True)
class Matcher:
    keys: tuple[str, ...] = ()
    """Of routes: `/api`, `= /robots.txt`; empty for all paths."""
    match: Mapping[str, object] = field(default_factory=dict)
    """As in `match` of a route."""


ANY_REQUEST: Final = Matcher()


def matcher_of(word: str, named: Mapping[str, Line]) -> Matcher | None:
    """Of the first argument of a directive. None where nothing here is equal to it."""
    if word == "*":
        return ANY_REQUEST
    if word.startswith("/"):
        return Matcher((_key(word),))
    line = named.get(word)
    return None if line is None else _named_matcher(line)


def no_equal(word: str, named: Mapping[str, Line]) -> str:
    """Why a directive with this matcher is left out."""
    line = named.get(word)
    conditions = (line.args, *((e.name, *e.args) for e in line.block or ())) if line else ()
    text = "; ".join(" ".join(each) for each in conditions if each)
    return f"its matcher {quote_line(text) or word} has no equivalent in portico.toml"


def is_matcher(word: str) -> bool:
    return word == "*" or word.startswith(("/", "@"))


def _named_matcher(line: Line) -> Matcher | None:
    conditions = line.block
    if conditions is None:
        conditions = (
            (Line(line.args[0], line.args[1:], line.file, line.number),) if line.args else ()
        )
    keys: tuple[str, ...] = ()
    match: dict[str, object] = {}
    for condition in conditions:
        if condition.name == "path" and condition.args and not keys:
            keys = tuple(map(_key, condition.args))
        elif condition.name == "path_regexp" and condition.args and not keys:
            keys = (f"~ {condition.args[-1]}",)
        elif not _condition(condition, match):
            return None
    return Matcher(keys, match) if keys or match else None


def _condition(line: Line, match: dict[str, object]) -> bool:
    """Adds it to `match`; whether it has an equal there."""
    match line.name, line.args:
        case "method", (_, *_):
            match["method"] = [each.upper() for each in line.args]
        case "header", (name, value) if "*" not in value and "{" not in value:
            _table(match, "header")[name] = value
        case "header", (name,):
            _table(match, "header")[name.lstrip("!")] = not name.startswith("!")
        case "query", pairs if pairs and all(re.fullmatch(r"[\w-]+=[^*{]*", p) for p in pairs):
            _table(match, "query").update(dict(pair.split("=", 1) for pair in pairs))
        case _:
            return False
    return True


def _table(match: dict[str, object], key: str) -> dict[str, object]:
    found = match.setdefault(key, {})
    return found if isinstance(found, dict) else {}


def _key(path: str) -> str:
    """`/api/*` and `/api*` are prefixes, `*.php` an ending, and all others exact."""
    if path.endswith("*") and "*" not in path[:-1]:
        return path[:-1].rstrip("/") or "/"
    if path.startswith(("*", "/*")) and "*" not in path.lstrip("/*"):
        return f"~* {re.escape(path.lstrip('/*'))}$"
    if "*" in path:
        return f"~* ^{re.escape(path).replace(re.escape('*'), '[^/]*')}$"
    return f"= {path}"
