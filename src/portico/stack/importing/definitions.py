"""What the http block defines for others to name: upstreams, zones, caches, variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from portico.core.model.nginx_lines import Line, walk

_ZONES: Final = ("limit_req_zone", "limit_conn_zone")
_CACHES: Final = ("proxy_cache_path", "fastcgi_cache_path", "uwsgi_cache_path", "scgi_cache_path")
VARIABLES: Final = ("map", "geo", "split_clients", "perl_set", "js_set", "js_var", "geoip_country")
_FORMATS: Final = ("log_format",)


@dataclass(frozen=True, slots=True)
class Definitions:
    zones: dict[str, Line] = field(default_factory=dict)
    caches: dict[str, Line] = field(default_factory=dict)
    upstreams: dict[str, Line] = field(default_factory=dict)
    variables: dict[str, Line] = field(default_factory=dict)
    """By name, without `$`."""
    formats: dict[str, Line] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Definitions:
        found = cls()
        for line in lines:
            if line.name in _ZONES:
                found.zones.update(dict.fromkeys(_names_in("zone", line), line))
            elif line.name in _CACHES:
                found.caches.update(dict.fromkeys(_names_in("keys_zone", line), line))
            elif line.name == "upstream" and line.args:
                found.upstreams[line.args[0]] = line
            elif line.name in VARIABLES:
                found.variables.update(dict.fromkeys(_variables(line), line))
            elif line.name in _FORMATS and line.args:
                found.formats[line.args[0]] = line
        return found

    def needed_lines(self, kept: Iterable[Line]) -> list[Line]:
        """What kept lines name, and what that names, in the order of the files."""
        found: dict[int, Line] = {}
        waiting = list(kept)
        while waiting:
            for line in self._named_in(waiting.pop()):
                if id(line) not in found:
                    found[id(line)] = line
                    waiting.append(line)
        return sorted(found.values(), key=lambda line: line.name == "upstream")

    def _named_in(self, line: Line) -> Iterator[Line]:
        for each in walk(line):
            words = " ".join(each.args)
            for name in re.findall(r"\$\{?(\w+)", words):
                yield from _line_if_set(self.variables, name)
            if each.name.endswith("_pass"):
                host = re.split(r"[/;]", words.partition("://")[2] or words)[0]
                yield from _line_if_set(self.upstreams, host)
            if each.name.endswith("_cache") and each.args:
                yield from _line_if_set(self.caches, each.args[0])
            if each.name in {"limit_req", "limit_conn"}:
                for word in each.args:
                    yield from _line_if_set(self.zones, word.removeprefix("zone="))
            if each.name == "access_log" and len(each.args) > 1:
                yield from _line_if_set(self.formats, each.args[1])


def _line_if_set(table: dict[str, Line], name: str) -> Iterator[Line]:
    if name in table:
        yield table[name]


def _names_in(word: str, line: Line) -> list[str]:
    found = (re.match(rf"{word}=([^:]+)", each) for each in line.args)
    return [match[1] for match in found if match]


def _variables(line: Line) -> list[str]:
    return [each[1:] for each in line.args if each.startswith("$")][-1:]
