"""A file is put in force: accepted, followed until it is served, and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from portico.core.model.desired import Desired
from portico.core.model.event import Requester
from portico.core.model.names import PROJECT
from portico.core.model.records import Revision
from portico.core.model.views import ChangeView
from portico.core.planning.file_effects import (
    moved_ports,
    relinked_text,
    removed_names,
    running_unchanged,
    scale_notes,
    unchanged_sites,
    unchanged_text,
)
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.changes import EVERY_APP, Change
from portico.engine.control.convergence import Convergence
from portico.engine.control.kept_ports import assert_ports_kept
from portico.engine.engine import Engine
from portico.engine.exposure import Exposure
from portico.engine.in_force import InForce
from portico.engine.intent import SITES
from portico.engine.prepare import Candidate
from portico.errors import Failed


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is to come into force, and what the change is called."""

    edit: Callable[[], Revision]
    """Makes it of the file in force by then."""
    kind: str = "up"
    subject: str = ""
    """Default: the path of the file."""
    holds: Sequence[str] = ()
    """What it holds beside what it touches. A whole file also holds the sites, so that those of no
    other come into force before it has been seen that its own are served.
    """
    smaller: bool = False
    """It needs neither disk nor nginx."""


class Up:
    def __init__(
        self,
        engine: Engine,
        certificates: CertificateLoop,
        in_force: InForce,
        convergence: Convergence,
        exposure: Exposure,
    ) -> None:
        self._intent, self._observed = engine.intent, engine.observed
        self._events, self._safe_mode = engine.events, engine.safe_mode
        self._changes, self._certificates = engine.changes, certificates
        self._preparation, self._in_force = in_force.preparation, in_force
        self._convergence, self._exposure = convergence, exposure

    async def begin(self, file: FileChange, who: Requester) -> ChangeView:
        """Put it in force, and follow it until it is served."""
        holds = file.holds
        self._changes.hold([] if self._intent.revisions else [EVERY_APP])
        touched, gone, said, unchanged = list[str](), list[str](), list[str](), list[str]()
        earlier, answered = list[Revision | None](), set[str]()

        def allow(candidate: Candidate) -> None:
            project = candidate.project or PROJECT
            touched[:] = {*self._changed_apps(candidate, project), *holds}
            self._changes.hold(touched)
            gone[:] = removed_names(self._intent.desired.of(project), candidate.desired)
            earlier[:] = [self._intent.revisions.get(project)]
            if holds:
                whole, candidates = self._intent.desired, candidate.desired
                assert_ports_kept(whole, candidates, "apply the file", project)
                moved = moved_ports(whole, candidates)
                now, new = whole.of(project), candidates.of(project)
                said[:], unchanged[:] = scale_notes(now, new), running_unchanged(now, new)
                said.extend([f"nginx moves {moved}"] if moved else [])
                if earlier[0] and earlier[0].served:
                    answered.update(unchanged_sites(now, new))

        accepted, candidate = await self._in_force.accept(file.edit, allow, smaller=file.smaller)
        [before] = earlier
        self._note_accepted(accepted, candidate, before)
        name, _, rest = file.subject.partition(" ")
        self._events.note_request(file.kind, name or accepted.source, who, rest)
        own = candidate.desired.of(accepted.project)

        async def work(change: Change) -> None:
            if gone and before:
                change.say(_removal(gone, before.file, accepted.file))
            if holds:
                said.extend(await self._unchanged_lines(unchanged, own))
            for line in said:
                change.say(line)
            for note in candidate.notes:
                change.say(f"note: {note}")
            await self._convergence.apps(change, own.apps)
            await self._convergence.upgrade()
            await self._convergence.sites(change, own, candidate.desired, answered)
            self._intent.mark_served(accepted)
            await self._exposure.look()
            for note in self._exposure.notes_after(own.apps):
                change.say(f"note: {note}")

        return self._changes.begin(file.kind, file.subject or accepted.source, touched, work)

    def _changed_apps(self, candidate: Candidate, project: str) -> list[str]:
        """The apps of which a file changes the program or the number, or that come or go; and the
        sites, if it changes anything for nginx.
        """
        new, now = candidate.desired.of(project).apps, self._intent.desired.of(project).apps
        apps = [
            name
            for name in sorted(new.keys() | now.keys())
            if name not in new
            or name not in now
            or new[name].spec.id != self._intent.versions.target(name).id
            or new[name].instances != now[name].instances
        ]
        is_same = candidate.fingerprint == self._intent.fingerprint
        return apps if is_same else [*apps, SITES]

    async def _unchanged_lines(self, apps: Sequence[str], desired: Desired) -> list[str]:
        """What of these continues to run as it is, which apps run where no link leads any more,
        and how they are replaced.
        """
        relinked: dict[str, str] = {}
        for name, app in desired.apps.items():
            with suppress(Failed):  # nothing is started there
                if app.spec.links:
                    links = await self._preparation.links_of(app.spec)
                    relinked[name] = relinked_text(app.spec, links)
        others = unchanged_text([name for name in apps if not relinked.get(name)])
        return [text for text in (*relinked.values(), others) if text]

    def _note_accepted(
        self, revision: Revision, candidate: Candidate, before: Revision | None
    ) -> None:
        seen, build = self._observed.now().nginx, candidate.build
        if self._intent.is_in_force(seen) and build.program not in {"", seen.program}:
            self._intent.request_upgrade(build)  # the same files, and another [edge] nginx
        if self._safe_mode.is_on and (before is None or before.document != revision.document):
            self._safe_mode.end()
        self._certificates.wake()


def _removal(removed: Sequence[str], before: str, now: str) -> str:
    names = ", ".join(removed)
    if before == now:
        return f"removing {names}: no longer in {now}"
    return f"removing {names}: in force from {before}, and not in {now}"
