"""Which projects there are, by what name, and which one a file or a folder is of."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from portico.core.model.labels import home_folder, project_name
from portico.core.model.names import PROJECT, qualified_name, split_name
from portico.core.model.project import Names, projects_at
from portico.core.model.records import Revision
from portico.core.model.requests import DocumentRequest
from portico.engine.intent import Intent
from portico.errors import ConfigError, Problem


class Projects:
    def __init__(self, intent: Intent) -> None:
        self._intent = intent
        self._names: dict[str, str] = {}
        """By key, of those that were in force, too: what is left of them still ends."""

    def names(self, folder: str | None = None) -> Names:
        """What may be named from there: an absolute folder, or None for anywhere."""
        revisions = self._intent.revisions
        names = {key: name_of(each) for key, each in revisions.items()}
        return Names(names, self._intent.desired.apps, keys_at(folder, revisions))

    def of_subject(self, subject: str) -> str:
        """The name of the project that an event is of; empty if it is of none."""
        revisions, (key, name) = self._intent.revisions, split_name(subject)
        self._names |= {each: name_of(revision) for each, revision in revisions.items()}
        for each in revisions.values():
            if subject in {each.file, each.source, name_of(each)}:
                return name_of(each)
        if subject in self._intent.desired.origins:
            return self._names.get(self._intent.desired.origin(subject).project, "")
        app = qualified_name(key, name.partition(".")[0])
        return self._names.get(key, "") if app in self._intent.versions.records else ""

    def key_for(self, request: DocumentRequest) -> str:
        """Under which a file comes into force: that of its project, or a new one.

        ConfigError where its name is that of another project, or its project has another name.
        """
        name = project_name(request.table, request.folder)
        for key, revision in self._intent.revisions.items():
            if name_of(revision) == name:
                _assert_same(request, revision, name)
                return key
            if request.source == revision.file and key == PROJECT:
                return key  # no name of its apps is made of the project's
            if request.source == revision.file:
                what = f'is "{name}", but the file is in force as project "{name_of(revision)}"'
                hint = f"`portico down {name_of(revision)}` first, or set the name back"
                raise ConfigError(request.source, [Problem("project", what, hint)])
        return _unused_key(name, self._intent.revisions) if self._intent.revisions else PROJECT


def keys_at(folder: str | None, revisions: Mapping[str, Revision]) -> list[str]:
    """Of the projects whose folder this is, or the nearest above it; links are followed."""
    if folder is None:
        return []
    folders = {key: os.path.realpath(each.folder) for key, each in revisions.items()}
    return projects_at(os.path.realpath(folder), folders)


def name_of(revision: Revision) -> str:
    return project_name(revision.document, revision.folder)


def _assert_same(request: DocumentRequest, before: Revision, name: str) -> None:
    """A folder that was moved is still the project; two that are called alike are not, unless
    both files say so.
    """
    new, old = home_folder(request.folder), home_folder(before.folder)
    both_say_so = "project" in request.table and "project" in before.document
    if new == old or both_say_so or not Path(before.folder).is_dir() or _is_same(new, old):
        return
    what = f'a project with the name "{name}" is already in force from {before.file}'
    raise ConfigError(
        request.source,
        [Problem("project", what, f'set project = "…" in one of them, or `portico down {name}`')],
    )


def _is_same(new: str, old: str) -> bool:
    return os.path.realpath(new) == os.path.realpath(old)


def _unused_key(name: str, keys: Mapping[str, object] | Collection[str]) -> str:
    """A key that no project has, and that is not the one with plain names."""
    taken, number, key = {PROJECT, *keys}, 1, name
    while key in taken:
        number += 1
        key = f"{name}-{number}"
    return key
