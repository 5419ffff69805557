"""The table of portico.toml as text, with a comment for where each thing comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.stack.model import Place

if TYPE_CHECKING:
    from tomlkit.items import InlineTable, Table

_TABLES: Final = ("apps", "upstreams", "sites", "streams")
_INNER_TABLES: Final = ("routes", "slots")
"""Tables within a table that have a head of their own."""


def text_of(
    table: Mapping[str, object], sources: Mapping[tuple[str, ...], Place], files: Sequence[str]
) -> str:
    """`files` are those that were read."""
    import tomlkit  # noqa: PLC0415 - import alone pays for it

    document = tomlkit.document()
    if files:
        document.add(tomlkit.comment(f"from {', '.join(dict.fromkeys(map(_short_place, files)))}"))
    for key, value in table.items():
        if not isinstance(value, Mapping):
            document[key] = value
        elif key in _TABLES:
            document[key] = _named_tables(value, (key,), sources)
        else:
            document[key] = _table(value, (key,), sources)
    return tomlkit.dumps(document).rstrip() + "\n"


def _named_tables(
    tables: Mapping[str, object],
    path: tuple[str, ...],
    sources: Mapping[tuple[str, ...], Place],
) -> Table:
    import tomlkit  # noqa: PLC0415

    found = tomlkit.table(is_super_table=True)
    for name, value in tables.items():
        if isinstance(value, Mapping):
            found[name] = _table(value, (*path, name), sources)
    return found


def _table(
    table: Mapping[str, object],
    path: tuple[str, ...],
    sources: Mapping[tuple[str, ...], Place],
) -> Table:
    import tomlkit  # noqa: PLC0415

    found = tomlkit.table()
    if place := sources.get(path):
        found.comment(_short_place(str(place)))
    for key, value in table.items():
        if key in _INNER_TABLES and isinstance(value, Mapping):
            continue
        item = tomlkit.item(_value(value))
        source = sources.get((*path, key))
        if source and source != place:
            item.comment(_short_place(str(source)))
        found.add(key, item)
    for key in _INNER_TABLES:
        inner = table.get(key)
        if isinstance(inner, Mapping):
            found[key] = _table(inner, (*path, key), sources)
    return found


def _value(value: object) -> object:
    import tomlkit  # noqa: PLC0415

    if isinstance(value, Mapping):
        inline: InlineTable = tomlkit.inline_table()
        for key, each in value.items():
            inline[key] = _value(each)
        return inline
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        for each in value:
            array.append(_value(each))
        return array
    return value


def _short_place(place: str) -> str:
    """A comment is one line, and names the file without its folders."""
    return "".join(c if c.isprintable() else "?" for c in Path(place).name)
