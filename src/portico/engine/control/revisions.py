"""The revisions that a change makes of those in force, or finds among the earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from portico.core.model.event import Requester
from portico.core.model.names import split_name
from portico.core.model.records import Revision
from portico.engine.engine import Engine
from portico.engine.projects import Projects, name_of
from portico.errors import NotFound, Refused


class Revisions:
    def __init__(self, engine: Engine, projects: Projects) -> None:
        self._intent, self._state, self._clock = engine.intent, engine.state, engine.clock
        self._projects = projects

    def current(self, project: str) -> Revision:
        if project not in self._intent.revisions:
            raise Refused("the project is no longer in force")
        return self._intent.revisions[project]

    def with_app(
        self, app: str, keys: Mapping[str, object] | None, source: str, who: Requester
    ) -> Callable[[], Revision]:
        """The file in force by then, with one app's table changed, or taken out."""

        def edit() -> Revision:
            project, name = split_name(app)
            current = self.current(project)
            apps = dict(current.document.get("apps", {}))  # type: ignore[call-overload]  # read before
            if name not in apps:
                raise NotFound(f"there is no app {app!r} in {current.file}")
            table = apps.pop(name)
            if keys is not None:
                apps[name] = {**table, **keys}
            document = {**current.document, "apps": apps}
            return replace(
                current,
                number=0,
                applied=self._clock.now(),
                who=str(who),
                source=source,
                path=current.file,
                document=document,
                served=False,
                links={},
            )

        return edit

    def relink(self, links: Mapping[str, Mapping[str, str]], who: str) -> list[Revision]:
        """The revisions in force where links lead now, without those that served with these
        already.
        """
        found = list[Revision]()
        for key in dict.fromkeys(split_name(name)[0] for name in links):
            current = self.current(key)
            own = {split_name(n)[1]: each for n, each in links.items() if split_name(n)[0] == key}
            together = {name: each for name, each in {**current.links, **own}.items() if each}
            if together == current.links and (current.served or not together):
                continue
            again = replace(
                current,
                number=0,
                applied=self._clock.now(),
                who=who,
                links=together,
                served=False,
            )
            found.append(again)
        return found

    def project_of(self, number: int | None, project: str | None, folder: str | None) -> str:
        """The key of the project that is to be rolled back; a revision's number tells it too."""
        names = self._projects.names(folder)
        if number is not None and project is None and not names.here:
            of = {each.number: name_of(each) for each in self._state.revisions()}
            project = of.get(number) if of.get(number) in names.projects.values() else None
        return names.project(project)

    def earlier(self, number: int | None, project: str) -> Revision:
        """Than the one in force, and of the same project; without a number one that served, and of
        which anything is different.
        """
        current = self.current(project)
        older = [
            each
            for each in self._state.revisions()
            if each.number < current.number and name_of(each) == name_of(current)
        ]
        if number is None:
            older = [each for each in older if each.served and _differ(each, current)]
        found = next((each for each in older if number in {None, each.number}), None)
        if found is None:
            why = (
                f"revision {number} is not an earlier one of this project"
                if number
                else "no earlier revision that served differs from the current one"
            )
            raise NotFound(f"{why}; see `portico history`")
        return found


def _differ(one: Revision, other: Revision) -> bool:
    """Whether a rollback from one to the other changes anything."""
    return (one.document, one.folder, one.links) != (other.document, other.folder, other.links)
