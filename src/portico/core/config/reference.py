"""The reference of portico.toml: every table and key, from the models that read the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic.fields import FieldInfo

from portico.core.config.keys import TABLES, other_names
from portico.core.config.shapes import Shape, alternatives, fields_of
from portico.core.model.document import Document
from portico.core.model.units import Table
from portico.core.model.value_text import value_text
from portico.core.model.variables import FAMILIES, VARIABLES

_HEAD: Final = """\
# portico.toml

<!-- Written by scripts/reference from the code; change the descriptions there. -->

A minimal file that serves a program on all cores:

```toml
[apps.web]
command   = "node index.js"   # listens on $PORT
instances = "max"
health    = "/healthz"

[sites."app.localhost"]
app = "web"
```

An editor that knows JSON Schema completes and checks keys with
[portico.schema.json](portico.schema.json); `portico check` reports everything that is wrong with a
file at once. Paths are relative to the folder of the file. A duration is a number of seconds or
text such as `"500ms"`, `"30s"`, `"1h30m"`; a size is a number of bytes or `"512k"`, `"10m"`,
`"1g"`. `ecosystem = "ecosystem.config.js"`, above all tables, adds the apps of a PM2 file: see
[pm2.md](pm2.md).
"""
_NAMES: Final = {
    # what stands for the free keys of a table
    "apps": "NAME",
    "upstreams": "NAME",
    "sites": '"NAME"',
    "streams": '"PORT"',
    "notify": "NAME",
    "machines": "NAME",
    "routes": '"PATH"',
    "slots": "NUMBER",
}


def reference() -> str:
    """The text of `docs/reference/portico.toml.md`."""
    sections = list(_sections("", Document, {}))
    parts = (section.text for section in sections[1:])
    return "\n".join((_HEAD, *parts, _variables(), _names_in_other_tools()))


def _variables() -> str:
    names = [f"`${name}`" for name in VARIABLES]
    families = [f"`${family}NAME`" for family in FAMILIES]
    return (
        "## Variables of headers\n\n"
        "Values of `headers` and `request_headers` may have these variables of nginx, also as "
        f"`${{host}}`: {', '.join((*names, *families))}. `$$` is a dollar sign.\n"
    )


@dataclass(frozen=True, slots=True)
class _Section:
    place: str
    """How TOML writes it: `[apps.NAME.health]`, `[[upstreams.NAME.servers]]`."""
    table: type[Table]
    known: Mapping[str, str]
    """Keys that mean the same in a table of an earlier section, and its place."""

    @property
    def text(self) -> str:
        rows = [
            _row(name, self.table.model_fields[name], shape)
            for name, shape in fields_of(self.table).items()
            if name not in self.known
        ]
        parts = [f"## {self.place}\n\n{_paragraph(self.table)}"]
        for place in dict.fromkeys(self.known.values()):
            keys = ", ".join(f"`{key}`" for key, where in self.known.items() if where == place)
            parts.append(f"Keys that mean the same as in {place}: {keys}.")
        if rows:
            parts.append("\n".join(("| key | value | default | |", "|---|---|---|---|", *rows)))
        return "\n\n".join(parts) + "\n"


def _sections(place: str, table: type[Table], seen: dict[type[Table], str]) -> Iterator[_Section]:
    """The table, then those inside it; one that is in several places stands at the first."""
    seen[table] = place
    yield _Section(place, table, _inherited_keys(table, seen))
    for name, shape in fields_of(table).items():
        path = f"{place.strip('[]')}.{name}".lstrip(".")
        for branch in (shape, *shape.branches):
            for inner, header in _tables(path, name, branch):
                if inner not in seen:
                    yield from _sections(header, inner, seen)


def _tables(path: str, name: str, shape: Shape) -> Iterator[tuple[type[Table], str]]:
    """The tables that a key may hold, with their headers."""
    if shape.table:
        yield shape.table, f"[{path}]"
    for value in (shape.values, *shape.values.branches) if shape.values else ():
        if value.table:
            yield value.table, f"[{path}.{_NAMES[name]}]" if shape.keys else f"[[{path}]]"


def _inherited_keys(table: type[Table], seen: Mapping[type[Table], str]) -> Mapping[str, str]:
    """Keys that a table shares with an earlier one, because both inherit them."""
    inherited = {
        key: parent
        for parent in table.__mro__[1:]
        if issubclass(parent, Table)
        for key in parent.model_fields
    }
    return {
        key: place
        for other, place in seen.items()
        if other is not table
        for key, parent in inherited.items()
        if issubclass(other, parent)
    }


def _paragraph(table: type[Table]) -> str:
    return " ".join((table.__doc__ or "").split())


def _row(name: str, field: FieldInfo, shape: Shape) -> str:
    cells = (f"`{name}`", _kind(shape), _default(field, shape), field.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(shape: Shape) -> str:
    """In words, without the examples that a message has."""
    words = re.split(r",? such as | \(", shape.words)[0]
    if shape.branches and shape.words == alternatives(branch.words for branch in shape.branches):
        return alternatives(_kind(branch) for branch in shape.branches)
    if shape.keys and shape.values:
        return f"a table: {_kind(shape.keys)} → {_kind(shape.values)}"
    if shape.values:
        return f"a list, each {_kind(shape.values)}"
    separator = " " if shape.bounds.startswith("between") else ", "
    return f"{words}{separator}{shape.bounds}" if shape.bounds else words


def _default(field: FieldInfo, shape: Shape) -> str:
    value = field.default
    if field.is_required():
        return "required"
    if value is None or field.default_factory or isinstance(value, Table):
        return ""
    if isinstance(value, (int, float)) and shape.unit:
        return f"`{value_text(_with_unit(value, shape.unit))}`"
    return f"`{value_text(value)}`" if value != () else "`[]`"


def _with_unit(value: float, unit: str) -> str:
    steps = {"d": 86400, "h": 3600, "m": 60} if unit == "seconds" else {"g": 1 << 30, "m": 1 << 20}
    for letter, step in steps.items():
        if value and value % step == 0:
            return f"{value / step:g}{letter}"
    return f"{value:g}{'s' if unit == 'seconds' else ''}"


def _names_in_other_tools() -> str:
    """The words that are no keys here, with the right ones."""
    lines = [
        "## Names in other tools",
        "",
        "Names in nginx, PM2 and other tools, and the key here.",
    ]
    for place, table in TABLES.items():
        rights: dict[str, list[str]] = {}
        for word, right in other_names(table).items():
            rights.setdefault(right, []).append(f"`{word}`")
        rows = [f"| {', '.join(words)} | {_as_code(right)} |" for right, words in rights.items()]
        lines += ["", f"In {place}:", "", "| elsewhere | here |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _as_code(right: str) -> str:
    return f"`{right}`" if re.fullmatch(r"[a-z_.]+", right) else right
