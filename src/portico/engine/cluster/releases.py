"""A reload of all machines whose links lead to other releases: it puts a file in force, the same
one with these releases. So it is taken back where it fails, and a machine that joins has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from portico.core.model.event import Requester
from portico.core.model.names import split_name
from portico.core.model.records import Revision
from portico.engine.control.revisions import Revisions
from portico.engine.engine import Engine
from portico.engine.prepare import Preparation
from portico.engine.projects import Projects, name_of
from portico.errors import Failed, Refused


class Releases:
    def __init__(self, engine: Engine, preparation: Preparation, projects: Projects) -> None:
        self._intent, self._preparation = engine.intent, preparation
        self._revisions = Revisions(engine, projects)

    async def file(self, verb: str, apps: Iterable[str], who: Requester) -> Revision | None:
        """None for a verb that follows no link, and where no link of these apps leads elsewhere
        than before. Raises Refused where links of several projects do: a change has one file.
        """
        links = {}
        if verb not in {"reload", "restart"}:
            return None
        for name in apps:
            with suppress(Failed):  # where there is no link any more `verb` says so
                links[name] = await self._preparation.links_of(self._intent.spec_in_file(name))
        found = self._revisions.relinked(links, f"{who}, {verb}")
        found = [
            each for each in found if each.links != self._intent.revisions[each.project].links
        ]
        if len(found) > 1:
            projects = ", ".join(map(name_of, found))
            raise Refused(
                f"cannot {verb}: there are new releases of {projects}; name one project at a time"
            )
        return found[0] if found else None

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
