"""What is remembered of applied files and of apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portico.core.model.desired import Spec
from portico.core.model.names import PROJECT


@dataclass(frozen=True, slots=True)
class Revision:
    """One applied file."""

    number: int
    applied: float
    """Wall time."""
    who: str
    source: str
    """Path of the file, or the command that made this revision."""
    folder: str
    document: Mapping[str, object]
    """The file as JSON values, as it was read."""
    environ: Mapping[str, str]
    served: bool = False
    """Its `up` ended well: every app was ready and every site answered."""
    project: str = PROJECT
    """Its key: each project has one file in force."""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`Spec.links` of its apps that have any, by their names in the project."""
    path: str = ""
    """Of the file, where `source` is a command."""

    @property
    def file(self) -> str:
        return self.path or self.source


@dataclass(frozen=True, slots=True)
class AppRecord:
    """What is remembered of an app beside its file."""

    name: str
    target: Spec
    """The version being rolled out, or in force."""
    good: Spec | None
    """The last version whose instances were all ready."""
    stopped: bool = False
    abrupt: bool = False
    reverted: str = ""
    """Why the last rollout was given up: `target` is the version before the file's then."""
    asked: int = 0
    """`Spec.asked` that the next version has at least: none that was given up had as much, so that
    no instance of those is taken for one of the next."""
