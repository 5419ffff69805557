"""YAML, and JSON, with the lines on which keys stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.errors import Failed
from portico.stack.reading.text_files import plain_text

if TYPE_CHECKING:
    from yaml.nodes import Node

Keys = tuple[str | int, ...]
_MAX_DEPTH: Final = 4
_MAX_VALUES: Final = 200_000


def read_yaml(path: Path) -> tuple[object, Mapping[Keys, int]]:
    """What is in it, and the line of every key down to a depth of 4. Raises Failed."""
    import yaml  # noqa: PLC0415 - only YAML files shall cost its start time

    text = plain_text(path)
    try:
        value = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or "it is not YAML"
        raise Failed(f"cannot read {path}: {where}{what}") from error
    except RecursionError as error:
        raise Failed(f"cannot read {path}: it is nested too deeply") from error
    except ValueError as error:  # the 30th of February
        raise Failed(f"cannot read {path}: {error}") from error
    if _is_endless(value):
        raise Failed(f"cannot read {path}: its aliases repeat too much")
    return value, dict(_lines(root, ())) if root else {}


def _is_endless(value: object) -> bool:
    """An alias may contain itself, or others that multiply."""
    waiting, count = [value], 0
    while waiting and count <= _MAX_VALUES:
        each = waiting.pop()
        count += 1
        if isinstance(each, dict | list):
            waiting.extend(each.values() if isinstance(each, dict) else each)
    return count > _MAX_VALUES


def line_of(lines: Mapping[Keys, int], *keys: str | int) -> int:
    """Of the key, or of what it is in; 0 if that is the file."""
    for length in range(len(keys), 0, -1):
        if keys[:length] in lines:
            return lines[keys[:length]]
    return 0


def _lines(node: Node, above: Keys) -> Iterator[tuple[Keys, int]]:
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode  # noqa: PLC0415 - as above

    if len(above) >= _MAX_DEPTH:
        return
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                yield (*above, key.value), key.start_mark.line + 1
                yield from _lines(value, (*above, key.value))
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield (*above, index), value.start_mark.line + 1
            yield from _lines(value, (*above, index))
