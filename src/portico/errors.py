"""Every error portico raises on purpose, from general to specific.

* PorticoError           something an operator can act on; its text is shown as it is
  - ConfigError          the file cannot be used; nothing was changed        exit 2
  - Refused              what was asked cannot be done now, and why          exit 2
  - NotFound             no app, site or change has that name                exit 2
  - Failed               it was tried and did not work; what holds is said   exit 1
    - Rejected           who was asked has answered, and does not do it      exit 1
  - Unreachable          no daemon answers                                   exit 3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class PorticoError(Exception):
    """Something an operator can act on: what could not be done, why, where, what still holds."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file."""

    where: str
    """Key path as the operator wrote it: `apps.web.instances`."""
    what: str
    """`must be 1 or more, not 0`"""
    hint: str | None = None
    """`did you mean "instances"?`"""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(PorticoError):
    """The file cannot be used, for all of these reasons. Nothing was changed."""

    exit_code = 2
    http_status = 422

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source, self.problems = source, tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = (f"cannot use {source}: {count}; nothing was changed", *map(str, problems))
        super().__init__("\n  ".join(lines))


class Refused(PorticoError):
    """What was asked cannot be done now; nothing was changed."""

    exit_code = 2
    http_status = 409


class NotFound(PorticoError):
    exit_code = 2
    http_status = 404


class Failed(PorticoError):
    """It was tried and did not work."""


class Rejected(Failed):
    """Who was asked has answered, and does not do it."""


class Unreachable(PorticoError):
    """No daemon answers on the socket, or one that is exiting and has done nothing."""

    exit_code = 3
    http_status = 503
