"""Deploys by a link to the release that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portico.adapters.processes.start import links_of
from portico.core.config.desired import spec_of, version_of
from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.errors import Failed
from portico.importers.read import read_file
from tests.instances import launch, supervised


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """A link to the first of two releases."""
    for release in ("1", "2"):
        folder = tmp_path / "releases" / release
        folder.mkdir(parents=True)
        (folder / "app.js").touch()
        (folder / "portico.toml").write_text('apps.web.script = "app.js"')
    switch(tmp_path / "current", "1")
    return tmp_path / "current"


def switch(current: Path, release: str) -> None:
    new = current.with_name("new")
    new.symlink_to(current.parent / "releases" / release)
    new.rename(current)


def version(folder: str, **keys: object) -> Spec:
    app = App.model_validate({"script": "app.js"} | keys)
    program = spec_of("web", app, folder=folder, environ={})
    return version_of(program, asked=0, links=links_of(program))


def test_a_file_found_inside_a_linked_folder_is_in_the_folder_of_that_name(current, monkeypatch):
    """https://github.com/Unitech/pm2/issues/1663, and https://github.com/Unitech/pm2/issues/5939:
    `restart` used the old target of the link.
    """
    monkeypatch.chdir(current)
    found = read_file(Path(), {"PWD": str(current), "PATH": "/usr/bin"})
    assert (found.folder, found.source) == (str(current), f"{current}/portico.toml")


def test_a_reload_runs_the_release_that_the_link_leads_to_by_then(current):
    """https://github.com/Unitech/pm2/issues/2229, and https://github.com/Unitech/pm2/issues/128:
    a restart started the release that the link had led to before.
    """
    before = version(str(current))
    switch(current, "2")
    after = version(str(current))
    assert [Path(each.working_folder).name for each in (before, after)] == ["1", "2"]
    assert before.id != after.id


def test_a_file_that_names_another_folder_is_a_new_version(current):
    """https://github.com/Unitech/pm2/issues/1921: a changed `cwd` was not taken over."""
    one, two = (version(str(current.parent), cwd=f"releases/{each}") for each in ("1", "2"))
    assert one.id != two.id
    assert two.working_folder == str(current.parent / "releases/2")


def test_a_release_that_was_removed_is_named_with_what_to_do(current):
    """https://github.com/Unitech/pm2/issues/1623: `ENOENT, no such file or directory` for
    process.cwd(), once the oldest releases had been removed.
    """
    links = version(str(current)).links
    switch(current, "2")
    (current.parent / "releases/1").rename(current.parent / "removed")

    async def problems() -> list[str]:
        async with supervised(current.parent) as processes:
            return await processes.problems(launch(current, links=links, script="app.js"))

    assert asyncio.run(problems())[0] == (
        f"folder {current.parent}/releases/1, to which {current} led, does not exist; "
        "`portico reload web` follows the link again"
    )


def test_a_link_that_leads_nowhere_is_said_before_anything_is_replaced(current):
    """https://github.com/Unitech/pm2/issues/128: `script not found` in a release of before."""
    switch(current, "3")
    with pytest.raises(Failed, match=f"folder {current} does not exist"):
        version(str(current))
