"""A project: an operator's file and its folder. Its name, and which app a name means among all."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from portico.core.model.labels import home_folder
from portico.core.model.names import split_name
from portico.errors import NotFound, Refused

ALL_PROJECTS: Final = "all"


def projects_at(folder: str, folders: Mapping[str, str]) -> list[str]:
    """Of projects, by key with their folders, those whose folder this is, or the nearest above."""
    place = home_folder(folder)
    while True:
        found = [key for key, each in folders.items() if home_folder(each) == place]
        above = posixpath.dirname(place)
        if found or above == place:
            return found
        place = above


@dataclass(frozen=True, slots=True)
class Names:
    """What operators may name, of all that is in force."""

    projects: Mapping[str, str]
    """Key to name."""
    apps: Collection[str]
    """Qualified."""
    here: Collection[str] = ()
    """Keys of the projects of the folder where the command was given."""

    def full_name(self, app: str) -> str:
        project, name = split_name(app)
        return f"{self.projects.get(project, project)}/{name}"

    def with_project(self, text: str) -> str:
        """A sentence that begins with an app or an instance, which has the name of its project
        except where it is the only one that is called so.
        """
        app = re.split("[.: ]", text, maxsplit=1)[0]
        name = split_name(app)[1]
        is_only = sum(split_name(each)[1] == name for each in self.apps) == 1
        if app not in self.apps:
            return text
        return (name if is_only else self.full_name(app)) + text.removeprefix(app)

    def app(self, text: str) -> str:
        """The one that is meant by `web` or `shop/web`. NotFound or Refused if that is none, or
        several.
        """
        found = [each for each in self.apps if text in {split_name(each)[1], self.full_name(each)}]
        if len(found) > 1:
            found = [each for each in found if split_name(each)[0] in self.here] or found
        if len(found) > 1:
            raise Refused(f"{text} is the name of several apps: {self._list_names(found)}")
        if not found:
            raise NotFound(f"there is no app {text!r}; known: {self._list_names(self.apps)}")
        return found[0]

    def subject(self, text: str) -> str:
        """The app or instance that is meant by `web` or `shop/web.2`, as events name it."""
        app, place = self.instance(text)
        return app + place

    def instance(self, text: str) -> tuple[str, str]:
        """The app of `web.2` or `shop/web.2.7`, and the rest of the word with its dots."""
        name, dot, rest = text.partition(".")
        return self.app(name), dot + rest

    def apps_of(self, text: str | None) -> list[str]:
        """Of an app or a project that is named, or without a name of the projects here, or all.
        `all` are all, unless an app is called so.
        """
        if text is None:
            mine = [each for each in self.apps if split_name(each)[0] in self.here]
            return mine or list(self.apps)
        if text == ALL_PROJECTS and all(split_name(each)[1] != ALL_PROJECTS for each in self.apps):
            return list(self.apps)
        key = self.project_called(text)
        of_project = [each for each in self.apps if split_name(each)[0] == key]
        return of_project or [self.app(text)]

    def project_called(self, text: str) -> str | None:
        """The key of a project, where no app has its name."""
        is_app = any(text in {split_name(each)[1], self.full_name(each)} for each in self.apps)
        found = (key for key, name in self.projects.items() if name == text)
        return None if is_app else next(found, None)

    def project(self, text: str | None) -> str:
        """The key of the project that is named, or of the only one here, or of the only one."""
        if text is not None:
            found = [key for key, name in self.projects.items() if name == text]
        else:
            found = list(self.here or self.projects)
        match found:
            case [key]:
                return key
            case [] if text is not None:
                known = ", ".join(self.projects.values()) or "none"
                raise NotFound(f"there is no project {text!r}; in force: {known}")
            case []:
                raise Refused("no file is in force; start with `portico up`")
            case _:
                known = ", ".join(self.projects[key] for key in found)
                raise Refused(f"several projects are in force; name one: {known}")

    def _list_names(self, apps: Collection[str]) -> str:
        """By the names that can be told apart."""
        plain = [split_name(each)[1] for each in apps]
        return ", ".join(map(self.full_name, apps) if len(self.projects) > 1 else plain) or "none"
