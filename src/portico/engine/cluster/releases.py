"""The releases behind links that all machines run.

A reload of all machines whose links lead to other ones puts a file in force, the same one with
these releases. So it is taken back where it fails, and a machine that joins has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from portico.core.model.event import Requester
from portico.core.model.names import split_name
from portico.core.model.records import Revision
from portico.core.model.snapshot import Put
from portico.core.planning.runs import runs_before
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.shared_files import SharedFiles
from portico.engine.control.assembly import Control
from portico.engine.control.revisions import Revisions
from portico.engine.engine import Engine
from portico.engine.projects import Projects, name_of
from portico.errors import Failed, Refused


class Releases:
    def __init__(
        self,
        engine: Engine,
        control: Control,
        projects: Projects,
        change_state: ChangeState,
        files: SharedFiles,
    ) -> None:
        self._intent, self._preparation = engine.intent, control.preparation
        self._change_state, self._files = change_state, files
        self._revisions = Revisions(engine, projects)

    async def file(self, verb: str, apps: Iterable[str], who: Requester) -> Revision | None:
        """None for a verb that follows no link, and where no link of these apps leads elsewhere
        than before. What runs once before those whose link does is of the same release. Raises
        Refused where links of several projects do: a change has one file.
        """
        if verb not in {"reload", "restart"}:
            return None
        links = await self._links(apps)
        moved = [name for name, each in links.items() if each != self._links_before(name)]
        before = runs_before(self._intent.desired.apps, moved) - links.keys()
        links |= await self._links(sorted(before))
        found = self._revisions.relink(links, f"{who}, {verb}")
        found = [
            each for each in found if each.links != self._intent.revisions[each.project].links
        ]
        if len(found) > 1:
            projects = ", ".join(map(name_of, found))
            raise Refused(
                f"cannot {verb}: there are new releases of {projects}; name one project at a time"
            )
        return found[0] if found else None

    async def _links(self, apps: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """By app, where they lead now."""
        found = dict[str, Mapping[str, str]]()
        for name in apps:
            with suppress(Failed):  # where there is no link any more the verb says so
                found[name] = await self._preparation.links_of(self._intent.spec_in_file(name))
        return found

    def _links_before(self, app: str) -> Mapping[str, str]:
        project, name = split_name(app)
        return self._revisions.current(project).links.get(name, {})

    async def writes(self, number: int, revision: Revision) -> list[Put]:
        """A file that is to come into force as this number of its project; and the one in force
        again, with the releases that run here, to which a change that fails returns: a reload
        of one machine alone, or by an older Portico, has not written them.
        """
        project, before = name_of(revision), self._intent.revisions.get(revision.project)
        writes = [await self._files.put(project, number, revision)]
        head = self._change_state.state().heads.get(project)
        if before and head and project not in self._change_state.to_take():
            apps, records = self._intent.desired.of(before.project).apps, self._intent.versions
            targets = {split_name(name)[1]: records.target(name) for name in apps}
            links = {name: each.links for name, each in targets.items() if each.links}
            if links:
                writes.append(await self._files.put(project, head, replace(before, links=links)))
        return writes

    def others(self, file: Revision, apps: Iterable[str]) -> list[str]:
        """The apps of which `file` starts no other release: by it alone nothing would happen to
        them.
        """
        before = self._intent.revisions[file.project].links
        records, desired = self._intent.versions.records, self._intent.desired.apps

        def is_started(app: str) -> bool:
            project, name = split_name(app)
            is_other = project == file.project and file.links.get(name) != before.get(name)
            return is_other and not records[app].stopped and not desired[app].app.schedule

        return [app for app in apps if not is_started(app)]
