"""What operators ask for, with several projects in force: it is done to the one that is meant."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import pytest

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Origin, Spec
from portico.core.model.event import Requester
from portico.core.model.names import qualified_name
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.site import Site
from portico.core.model.views import ChangeView
from portico.engine.in_force import InForce
from portico.engine.inputs import Inputs
from portico.engine.intent import Intent
from portico.errors import ConfigError, NotFound, PorticoError, Refused
from tests.unit.test_in_force import Portico

ME = Requester("me")


class SeveralProjects(Portico):
    instances: Mapping[str, object] = {}
    """As what is observed."""

    @staticmethod
    def _desired(inputs: Inputs) -> Desired:
        apps, sites, origins = {}, {}, {}
        for project, request in inputs.requests.items():
            for name, keys in request.table["apps"].items():
                app, called = App.model_validate(keys), qualified_name(project, name)
                version = f"{app.command}+{inputs.asked.get(called, 0)}"
                spec = Spec(version, called, app, request.folder, {}, inputs.asked.get(called, 0))
                apps[called] = DesiredApp(called, app.instances, spec)
            for name in request.table.get("sites", ()):
                sites[name], origins[name] = Site(redirect="/"), Origin(project)
        return Desired(apps=apps, sites=sites, origins=origins)

    def next_daemon(self) -> None:
        self.intent = Intent(self.state, nginx=None)
        self.in_force = InForce(self.engine(), self)


def file(folder: str, command: str = "run", **table: object) -> DocumentRequest:
    name = folder.rpartition("/")[2]
    table = {"apps": {"web": {"command": command}}, "sites": [f"{name}.test"], **table}
    return DocumentRequest(source=f"{folder}/portico.toml", folder=folder, table=table, environ={})


Story = Callable[[SeveralProjects], Awaitable[None]]


def told(story: Story) -> None:
    portico = SeveralProjects()
    portico.run(lambda: story(portico))


async def done(portico: SeveralProjects, asked: Awaitable[object]) -> None:
    """The change that is asked for has ended, and well."""
    view = await portico.ended(asyncio.ensure_future(asked))
    await portico.passes(30)
    assert portico.operations.change(view.id).state == "done"


async def ended_by(
    portico: SeveralProjects,
    project: str | None = None,
    folder: str | None = None,
    source: str = "",
) -> ChangeView:
    return await portico.operations.down(ME, DownRequest(file=source), project, folder)


async def up(portico: SeveralProjects, *requests: DocumentRequest) -> None:
    for each in requests:
        await done(portico, portico.operations.up(each, ME))


def apps(portico: SeveralProjects) -> dict[str, str]:
    return {name: app.spec.id for name, app in portico.intent.desired.apps.items()}


def test_a_file_comes_next_to_those_of_other_folders_and_replaces_that_of_its_own():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"), file("/srv/two", "v2"))
        assert apps(portico) == {"web": "run+0", "two/web": "v2+0"}
        assert list(portico.intent.desired.sites) == ["one.test", "two.test"]
        [last] = [c for c in portico.operations.changes() if c.id == "c3"]
        assert not [line for line in last.lines if "remov" in line]

    told(story)


def test_an_app_of_another_project_that_was_rolled_back_or_reloaded_stays_what_it_is():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        portico.intent.complete("web")
        await up(portico, file("/srv/one", "v2"))
        portico.intent.revert("web", "it ended")
        await done(portico, portico.operations.reload("two/web", ME))
        await up(portico, file("/srv/three"), file("/srv/two", "v2"))
        assert apps(portico) == {"web": "run+0", "two/web": "v2+1", "three/web": "run+0"}
        assert portico.intent.revert_reasons == {"web": "it ended"}

    told(story)


def test_down_ends_the_project_that_is_meant_and_nothing_else():
    async def story(portico: SeveralProjects) -> None:
        down = partial(ended_by, portico)
        await up(portico, file("/srv/one"), file("/srv/two"), file("/srv/three"))
        with pytest.raises(Refused, match="several projects are in force; name one: one, two"):
            await down(folder="/tmp")
        with pytest.raises(NotFound, match="there is no project 'x'; in force: one, two, three"):
            await down(project="x", folder="/srv/one")
        assert len(portico.intent.revisions) == 3
        await done(portico, down(folder="/srv/two/src"))
        assert apps(portico).keys() == {"web", "three/web"}
        with pytest.raises(Refused, match=r"/srv/two/portico.toml is not in force"):
            await down(folder="/srv/two", source="/srv/two/portico.toml")
        await done(portico, down(project="one"))
        assert apps(portico).keys() == {"three/web"}
        with pytest.raises(NotFound):
            await down(project="one")
        with pytest.raises(Refused, match=r"/srv/one/portico.toml is not in force"):
            await down(folder="/srv/one", source="/srv/one/portico.toml")
        await done(portico, down(folder="/tmp"))
        assert apps(portico) == {}
        assert portico.intent.revisions == {}

    told(story)


def test_down_all_ends_everything_at_once():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        await done(portico, portico.operations.down(ME, DownRequest(everything=True)))
        assert apps(portico) == {}

    told(story)


def test_a_second_down_hurries_the_first_and_never_ends_another_project():
    async def story(portico: SeveralProjects) -> None:
        down = partial(ended_by, portico)
        await up(portico, file("/srv/one"), file("/srv/two"))
        portico.takes_over = False  # so that the first one goes on
        first = await portico.ended(asyncio.ensure_future(down(project="two")))
        assert portico.intent.desired.removed_apps["two/web"].app.drain_timeout > 0
        for again in (
            {"project": "two"},
            {"folder": "/srv/two", "source": "/srv/two/portico.toml"},
        ):
            assert (await down(**again)).id == first.id
        removed = portico.intent.desired.removed_apps["two/web"].app
        assert (removed.drain_timeout, removed.stop_timeout) == (0, 1)
        assert apps(portico) == {"web": "run+0"}
        portico.takes_over = True
        await portico.passes(30)

    told(story)


def test_a_down_that_is_refused_for_an_up_that_came_first_ends_nothing():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        portico.delays = itertools.chain([6], itertools.repeat(1))
        portico.takes_over = False
        deployment = asyncio.ensure_future(portico.asked("deploy"))
        await portico.passes(1)
        first = asyncio.ensure_future(portico.operations.up(file("/srv/two", "v2"), ME))
        await portico.passes(3)
        down = asyncio.ensure_future(portico.operations.down(ME, DownRequest(), "two"))
        assert (await portico.ended(first)).state == "doing"
        with pytest.raises(Refused, match="up of the sites is running"):
            await portico.ended(down)
        assert apps(portico) == {"web": "run+0", "two/web": "v2+0"}
        portico.takes_over = True
        assert await portico.ended(deployment) == "done"
        await portico.passes(30)

    told(story)


def test_a_watched_app_that_was_removed_meanwhile_is_not_reloaded():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"))
        with pytest.raises(NotFound, match="there is no app 'two/web'"):
            await portico.operations.reload_watched("two/web", ME)

    told(story)


def test_rollback_and_history_are_a_projects():
    async def story(portico: SeveralProjects) -> None:
        for command in ("v1", "v2"):
            await up(portico, file("/srv/one", command), file("/srv/two", command))
        ask = portico.operations
        with pytest.raises(Refused, match="several projects"):
            await ask.rollback(None, ME)
        await done(portico, ask.rollback(None, ME, folder="/srv/two"))
        assert apps(portico) == {"web": "v2+0", "two/web": "v1+0"}
        await done(portico, ask.rollback(1, ME))  # the number tells whose it is
        assert apps(portico) == {"web": "v1+0", "two/web": "v1+0"}
        with pytest.raises(NotFound, match="revision 1 is not an earlier one of this project"):
            await ask.rollback(1, ME, project="two")
        assert {each.project for each in ask.history(None, "/srv/two")} == {"two"}
        assert {each.project for each in ask.history(None, "/tmp")} == {"one", "two"}
        assert [each.number for each in ask.history("one", None)] == [6, 3, 1]

    told(story)


def test_after_a_scale_and_another_daemon_a_project_is_still_that_of_its_file():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        await done(portico, portico.operations.scale("two/web", 3, ME))
        assert portico.intent.revisions["two"].source == "scale two/web 3"
        assert portico.intent.revisions["two"].file == "/srv/two/portico.toml"
        before = portico.intent.desired.apps
        portico.next_daemon()
        await portico.ended(asyncio.ensure_future(portico.in_force.resume()))
        assert portico.intent.desired.apps == before
        assert portico.intent.desired.apps["two/web"].instances == 3
        assert portico.intent.desired.apps["web"].instances == 1

    told(story)


def test_pause_takes_a_site_or_a_project():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two", sites=["a.test", "b.test"]))
        await done(portico, portico.operations.pause("two", ME))
        assert portico.intent.paused_sites() == {"a.test", "b.test"}
        await done(portico, portico.operations.resume("a.test", ME))
        assert portico.intent.paused_sites() == {"b.test"}
        with pytest.raises(NotFound, match=r"no site 'x'; known: one.test, a.test, b.test"):
            await portico.operations.pause("x", ME)

    told(story)


def test_a_name_of_another_project_is_refused_and_a_project_that_was_moved_is_not(tmp_path):
    for name in ("a/shop", "b/shop", "c/shop/releases/1", "c/shop/releases/2"):
        (tmp_path / name).mkdir(parents=True)

    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file(f"{tmp_path}/a/shop", "v1"))
        other = file(f"{tmp_path}/b/shop", "v2", sites=["b.test"])
        with pytest.raises(ConfigError) as refused:
            await portico.operations.up(other, ME)
        said = str(refused.value)
        assert f"cannot use {tmp_path}/b/shop/portico.toml" in said
        assert f'a project with the name "shop" is already in force from {tmp_path}/a' in (said)
        assert 'set project = "…" in one of them, or `portico down shop`' in said
        (tmp_path / "a/shop").rename(tmp_path / "gone")
        await up(portico, other)
        assert apps(portico) == {"web": "run+0", "shop/web": "v2+0"}

    told(story)


def test_every_release_of_a_project_is_that_project(tmp_path):
    shop = tmp_path / "shop"
    for number in (1, 2):
        (shop / f"releases/{number}").mkdir(parents=True)
    (shop / "current").symlink_to("releases/1")

    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file(f"{shop}/releases/1", "v1"))
        await up(portico, file(f"{shop}/current", "v2"), file(f"{shop}/releases/2", "v3"))
        assert apps(portico) == {"web": "run+0", "shop/web": "v3+0"}
        await done(portico, portico.operations.reload("web", ME, folder=f"{shop}/current"))
        assert apps(portico)["shop/web"] == "v3+1"

    told(story)


def test_a_file_with_another_name_than_before_is_refused_once_its_apps_are_called_by_it():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        with pytest.raises(ConfigError, match='project: is "new", but the file is in force as'):
            await portico.operations.up(file("/srv/two", project="new"), ME)
        await up(portico, file("/srv/one", project="first"))  # those of the first are plain
        assert {each.project for each in portico.operations.history(None, "/srv/one")} == {"first"}
        assert apps(portico) == {"web": "run+0", "two/web": "run+0"}

    told(story)


def test_two_projects_never_have_one_key():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/default"), file("/srv/default-2"))
        assert apps(portico).keys() == {"web", "default-2/web", "default-2-2/web"}
        names = portico.operations._projects.names()  # noqa: SLF001
        assert [names.app(f"{each}/web") for each in ("default", "default-2")] == [
            "default-2/web",
            "default-2-2/web",
        ]

    told(story)


def test_an_unforeseen_name_changes_nothing():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        before = apps(portico)
        for ask in (portico.operations.reload, portico.operations.stop, portico.operations.delete):
            with pytest.raises(PorticoError):
                await ask("web", ME)
        assert apps(portico) == before

    told(story)


def test_the_changes_of_two_projects_may_go_on_at_once():
    async def story(portico: SeveralProjects) -> None:
        await up(portico, file("/srv/one"), file("/srv/two"))
        portico.takes_over = False
        await portico.operations.reload("one/web", ME)
        await portico.operations.reload("two/web", ME)
        with pytest.raises(Refused, match="reload of web is running"):
            await portico.operations.reload("one/web", ME)
        portico.takes_over = True
        await portico.passes(30)

    told(story)
