"""One question to the daemon: its command, path, request and answer as data.

No pydantic here, nor where the rows are: commands start in an instant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

Answer = TypeVar("Answer")

QUICK_TIMEOUT: Final = 30.0
"""Seconds to wait for what the daemon knows."""
WORK_TIMEOUT: Final = 180.0
"""For what it must work out first: reading and testing a whole file."""
CERTIFICATES_TIMEOUT: Final = 1800.0
"""For what takes a while for each of thousands of certificates."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A word of a command. In the path or the body of the request it has the same name."""

    name: str
    help: str
    metavar: str = ""
    is_optional: bool = False
    is_number: bool = False
    is_relative: bool = False
    """A number, or how much more or less: `+2`, `-1`."""


@dataclass(frozen=True, slots=True)
class Verb(Generic[Answer]):
    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    """A part in brackets may be left out: `/v1/apps/[{app}/]start` is for one app, or for all."""
    summary: str
    """One line, in the imperative."""
    answer: str = "ChangeView"
    """The name of a model of `core/model/views.py`, or of a `…_views.py` there; `str` for text."""
    shape: Literal["one", "list", "stream", "text"] = "one"
    """A stream is one JSON value a line, as long as the connection holds; a text is no JSON."""
    request: str = ""
    """A model too: the body, whose fields are arguments of the method. One that takes `request`
    gets it whole."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Name to description."""
    seconds: float = WORK_TIMEOUT
    """How long a client waits for the answer."""
    group: str = ""
    """Of the command in `portico --help`; empty where another command asks."""
    arguments: tuple[Argument, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def parameters(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def paths(self) -> Iterator[tuple[str, str]]:
        """Each with the name of its operation, which is another one for all at once."""
        yield re.sub(r"[][]", "", self.path), self.name
        if "[" in self.path:
            yield re.sub(r"\[.*\]", "", self.path), f"{self.name}_all"

    @property
    def status(self) -> int:
        """202 for what goes on after the answer, as a change that can be followed."""
        return 202 if self.method != "GET" and self.answer == "ChangeView" else 200
