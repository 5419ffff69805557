"""A change that goes over the machines of a cluster, and how far each machine is with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from portico.core.model.names import PROJECT
from portico.core.model.records import Revision
from portico.core.model.shared import Record


class NamedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What a change is of that puts no file in force."""

    projects: tuple[str, ...] = ()
    """Names of the projects of its apps; empty for a site."""
    app: str = ""
    """In the only one of them; empty for all of their apps."""
    site: str = ""
    """Of `pause` and `resume`: a site, or a project for all its sites."""
    hold: float = 0.0
    now: bool = False
    apps: tuple[str, ...] = ()
    """All that are meant, each as `PROJECT/APP`."""
    sites: tuple[str, ...] = ()


class Switches(Record, frozen=True):
    """`switches`: what operators have switched by hand. Apps are `PROJECT/APP`."""

    stopped: Mapping[str, bool] = {}
    """Whether an app was stopped, or started, last; if neither, it is as its file says."""
    renewed: Mapping[str, str] = {}
    """By app, the id of the last change that replaced its instances."""
    paused: Mapping[str, float] = {}
    """By site, for how many seconds requests are held; 0 for the maintenance page."""
    last: str = ""
    """The id of the last change that is in it: one that an older Portico ended is not."""


NO_SWITCHES: Final = Switches()


class SharedChange(Record, frozen=True):
    """`change`: the last one. It is under way as long as `end` is empty."""

    id: str
    """The revision of the change before, and Unix time in milliseconds: revisions come again in a
    store that was restored from an older copy. An older Portico writes the revision alone.
    """
    verb: str
    """Name of the verb in `core/model/verbs.py`."""
    subject: str
    """As operators are shown it."""
    who: str
    by: str
    """The machine where it was requested."""
    began: float
    """Unix time, seconds."""
    order: tuple[str, ...]
    """The machines that make it, the first one first."""
    project: str = ""
    """Its name, where a file of it comes into force or is ended; a change of it that fails is
    taken back.
    """
    revision: int = 0
    """Of the file that comes into force; 0 where the project is ended."""
    target: NamedTarget | None = None
    """Of all other changes, and of `down`; with a file, the apps that it has."""
    without_absent: bool = False
    """A machine that is lost meanwhile is left out."""
    end: Literal["", "done", "refused", "failed"] = ""
    """`refused`: by a machine, before any had changed."""
    why: str = ""


State = Literal["ready", "refused", "changing", "done", "failed", "back"]
TOUCHED_STATES: Final = frozenset[str]({"changing", "done", "failed"})


class Progress(Record, frozen=True):
    """`progress/MACHINE`, which that machine alone writes: how far it is with the last change that
    it takes part in.
    """

    change: str
    """Its id; empty for a machine that has taken what was in force."""
    state: State
    """`ready`: checked, with nothing changed. `back`: what was in force before is so again."""
    why: str = ""
    lines: tuple[str, ...] = ()
    """The last ones."""
    count: int = 0
    """Of all lines."""


class SharedFile(Record, frozen=True):
    """What is compressed (RFC 1950) and encrypted in `revisions/PROJECT/NUMBER`."""

    who: str
    source: str
    folder: str
    document: Mapping[str, object]
    environ: Mapping[str, str]
    links: Mapping[str, Mapping[str, str]] = {}
    path: str = ""

    @classmethod
    def of(cls, revision: Revision) -> SharedFile:
        return cls(
            who=revision.who,
            source=revision.source,
            folder=revision.folder,
            document=revision.document,
            environ=revision.environ,
            links=revision.links,
            path=revision.path,
        )

    def revision(self, applied: float, project: str = PROJECT) -> Revision:
        """For a machine where the project has this key."""
        return Revision(
            0,
            applied,
            self.who,
            self.source,
            self.folder,
            self.document,
            self.environ,
            project=project,
            links=self.links,
            path=self.path,
        )
