"""What is in force has one owner, whoever asks for what meanwhile, and whatever fails.

Intent, its owner and the operations are the real ones. Rendering takes as long as a story says,
and nginx takes files over, or refuses them, at its own time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import NamedTuple, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portico.core.config.desired import version_of
from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.event import Requester
from portico.core.model.names import PROJECT
from portico.core.model.place import Build
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.site import Site
from portico.core.model.world import NginxSeen, World
from portico.engine.changes import Changes
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.operations import Operations
from portico.engine.in_force import SERVE_TIMEOUT, InForce
from portico.engine.inputs import Inputs
from portico.engine.intent import Intent
from portico.engine.prepare import NO_BUILD, Candidate
from portico.engine.safe_mode import SafeMode
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.errors import ConfigError, Failed, NotFound, PorticoError, Problem, Refused
from tests.examples import examples
from tests.fakes.clock import FakeClock, settle
from tests.fakes.state import MemoryState, events_of

ME = Requester("me")

STEP = 0.1
NO_PORTS = ControlPorts(None, None, SimpleNamespace(nginx=None, logs=None), None)


class Files(NamedTuple):
    """What nginx is given, as far as a story tells it apart."""

    sites: tuple[str, ...]
    paused: frozenset[str]
    certificate: int

    @property
    def fingerprint(self) -> str:
        return repr(self)


class Portico:
    """The owner, between an nginx and a disk that do as they are told."""

    def __init__(self) -> None:
        self.clock, self.state, self.troubles = FakeClock(), MemoryState(), Troubles()
        self.clock.turns = 12
        self.intent = Intent(self.state, nginx=None)
        self.certificate = 1
        self.delays = itertools.cycle([0])
        self.refusals = iter(())
        self.takes_over = True
        self.live = self.refused = self.refused_because = ""
        self.rendered: dict[str, Files] = {}
        self.links: dict[str, str] = {}
        """Where the folders of every app lead now."""
        self.links_problem = ""
        self.broken = ""
        """Why nothing can be rendered."""
        self.in_force = InForce(self.engine(), self)
        self.deploying = asyncio.Lock()

    def engine(self):
        return SimpleNamespace(
            clock=self.clock,
            events=events_of(self.state, self.clock),
            intent=self.intent,
            loop=self,
            observed=self,
            safe_mode=SafeMode(0, self.troubles),
            state=self.state,
            troubles=self.troubles,
        )

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def scenario() -> None:
            async with asyncio.TaskGroup() as group:
                engine = self.engine()
                engine.tasks = Tasks(group, self.troubles, self.clock)
                engine.changes = Changes(engine.tasks, self.clock)
                self.operations = Operations(
                    engine,
                    SimpleNamespace(loop=self, local=None),
                    self.in_force,
                    self,
                    self,
                    NO_PORTS,
                )
                await story()

        asyncio.run(scenario())

    async def passes(self, steps: int = 1) -> None:
        """Time, in which nginx does what it would."""
        for _ in range(steps):
            await self.clock.advance(STEP)
            wanted = self.intent.fingerprint
            if wanted in {self.live, self.refused, ""} or not self.takes_over:
                continue
            if next(self.refusals, False):
                self.refused, self.refused_because = wanted, "unknown directive in line 3"
            else:
                self.live, self.refused = wanted, ""

    async def acknowledged(self, what: str) -> str:
        """What it is answered, with nothing else under way."""
        return await self.ended(asyncio.create_task(self.asked(what)))

    async def ended(self, task: asyncio.Task[T]) -> T:
        for _ in range(100):
            if task.done():
                break
            await self.passes()
        return await asyncio.wait_for(task, 1)

    # As preparation

    async def check(self, inputs: Inputs) -> Candidate:
        return await self.tested_again(inputs)

    async def resume(self, inputs: Inputs) -> Candidate:
        return await self.tested_again(inputs)

    async def tested_again(self, inputs: Inputs) -> Candidate:
        half = next(self.delays) * STEP / 2
        await self.clock.sleep(half)
        certificate = self.certificate
        await self.clock.sleep(half)
        if self.broken:
            raise ConfigError("portico.toml", [Problem("nginx", self.broken)])
        desired = self._desired(inputs)
        files = Files(tuple(desired.sites), inputs.paused, certificate)
        self.rendered[files.fingerprint] = files
        return Candidate(desired, {}, files.fingerprint, Build("nginx", (1, 31, 0)), ())

    async def render(self, inputs: Inputs) -> Candidate:
        return Candidate(self._desired(inputs), {}, "", Build("nginx", (1, 31, 0)), ())

    async def without_nginx(self, inputs: Inputs, *, live: str) -> Candidate:
        return Candidate(self._desired(inputs), {}, live, NO_BUILD, ())

    def _desired(self, inputs: Inputs) -> Desired:
        [request] = inputs.requests.values()
        apps = {}
        for name, keys in request.table["apps"].items():
            app, asked = App.model_validate({"command": "run", **keys}), inputs.asked.get(name, 0)
            program = Spec("v1", name, app, "/srv", {})
            links = inputs.links_of(program)
            spec = version_of(program, asked=asked, links=self.links if links is None else links)
            apps[name] = DesiredApp(name, keys["instances"], spec)
        sites = {name: Site(app="web") for name in request.table["sites"]}
        return Desired(apps=apps, sites=sites)

    async def links_of(self, _: Spec) -> dict[str, str]:
        if self.links_problem:
            raise Failed(self.links_problem)
        return dict(self.links)

    # As what is observed, the loop, the keeper, and what waits for the world

    def now(self):
        nginx = NginxSeen(1, 1, self.live, self.refused, self.refused_because, "nginx")
        return replace(WORLD, nginx=nginx)

    def hold(self, sites) -> None:
        self.holds_now = sites

    def clear_refusal(self) -> None:
        self.refused = self.refused_because = ""

    def wake(self) -> None:
        pass

    async def next_round(self) -> None:
        await self.clock.sleep(STEP)

    async def apps(self, *_: object) -> None:
        await self.in_force.wait_until_served()

    async def upgrade(self) -> None:
        pass

    @property
    def exposure(self):
        return self

    async def look(self) -> None:
        pass

    def notes_after(self, _: object) -> list[str]:
        return []

    async def sites(self, *_: object) -> None:
        pass

    async def end(self, _: object, longest: float = 0.0) -> None:
        pass

    # What operators and certificates ask for

    async def asked(self, name: str) -> str:
        """`done`, `failed` or `refused`, as whoever asked was told."""
        word, _, rest = name.partition(" ")
        try:
            if word == "deploy":
                return await self._deploy()
            view = await self._ask(word, rest.split())
        except PorticoError:
            return "refused"
        async for now in self.operations.follow(view.id):
            view = now
        return view.state

    async def _ask(self, word: str, rest: list[str]):
        ask = self.operations
        match word:
            case "up":
                return await ask.up(request(FILES[rest[0]]), ME)
            case "scale":
                return await ask.scale(rest[0], int(rest[1]), ME)
            case "down":
                return await ask.down(ME, DownRequest(now=True))
            case _:
                return await getattr(ask, word)(rest[0], ME)

    async def _deploy(self) -> str:
        """As `Deployment` does it."""
        async with self.deploying:
            before = self.certificate
            self.certificate = before + 1
            try:
                await self.in_force.render_again()
            except PorticoError:
                self.certificate = before
                with suppress(PorticoError):
                    await self.in_force.render_again()
                return "refused"
            return "done"


def request(table: dict, source: str = "portico.toml") -> DocumentRequest:
    return DocumentRequest(source=source, folder="/srv", table=table, environ={})


FILES = {
    "A": {"apps": {"web": {"instances": 2}}, "sites": ["s1"]},
    "B": {"apps": {"web": {"instances": 2}, "api": {"instances": 1}}, "sites": ["s1", "s2"]},
    "C": {"apps": {"web": {"instances": 3}}, "sites": ["s2"]},
}
OTHER = FILES["B"] | {"sites": ["s3"]}
WORLD = World(0.0)
T = TypeVar("T")


# One fault, one race


def test_a_pause_that_an_up_overtakes_pauses_the_site_of_the_new_file():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        portico.delays = iter([6, 2, 6, 6, 6])
        pausing = asyncio.create_task(portico.asked("pause s1"))
        await settle()
        putting = asyncio.create_task(portico.asked("up B"))
        await portico.passes(60)
        assert (await pausing, await putting) == ("done", "done")
        assert list(portico.intent.desired.sites) == ["s1", "s2"]
        assert portico.rendered[portico.live] == Files(("s1", "s2"), frozenset({"s1"}), 1)

    portico.run(story)


def test_two_who_scale_at_once_do_not_lose_one_anothers_edit():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        portico.delays = itertools.cycle([3])
        both = [asyncio.create_task(portico.asked(f"scale {n}")) for n in ("web 4", "api 4")]
        await portico.passes(30)
        assert [await each for each in both] == ["done", "done"]
        assert {n: a.instances for n, a in portico.intent.desired.apps.items()} == {
            "web": 4,
            "api": 4,
        }

    portico.run(story)


def test_of_two_who_scale_an_app_by_a_number_at_once_one_is_refused():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        portico.delays = itertools.cycle([3])
        scale = portico.operations.scale
        first, second = (asyncio.create_task(scale("web", "+1", ME)) for _ in range(2))
        await portico.ended(first)
        with pytest.raises(
            Refused,
            match=r"by \+1: another change set it to 3 instances meanwhile; nothing was changed",
        ):
            await portico.ended(second)
        assert portico.intent.desired.apps["web"].instances == 3

    portico.run(story)


def test_a_second_file_for_other_sites_waits_until_the_first_is_served():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        portico.takes_over = False
        first = asyncio.create_task(portico.asked("up A"))
        await portico.passes(2)
        with pytest.raises(Refused, match=r"up of api, the sites is running \(change c2\)"):
            await portico.ended(asyncio.create_task(portico.operations.up(request(OTHER), ME)))
        portico.takes_over = True
        assert await portico.ended(first) == "done"

    portico.run(story)


def test_a_deployment_that_nginx_refuses_ends_at_once_with_nginxs_reason():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        portico.refusals = iter([True])
        portico.certificate = 2
        deploying = asyncio.create_task(portico.in_force.render_again())
        with pytest.raises(
            Failed, match="nginx did not load the new configuration: unknown directive in line"
        ):
            await portico.ended(deploying)

    portico.run(story)


def test_what_nginx_does_not_take_in_its_test_changes_nothing():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        before = portico.intent.fingerprint
        portico.certificate, portico.broken = 2, "unknown directive in line 3"
        deploying = asyncio.create_task(portico.in_force.render_again())
        with pytest.raises(ConfigError, match="unknown directive in line 3"):
            await portico.ended(deploying)
        assert portico.intent.fingerprint == before

    portico.run(story)


def test_an_nginx_that_says_nothing_is_waited_for_no_longer_than_its_time():
    portico = Portico()

    async def story() -> None:
        portico.takes_over = False
        asking = asyncio.create_task(portico.asked("up A"))
        await portico.passes(round(SERVE_TIMEOUT / STEP) + 3)
        assert await asking == "failed"

    portico.run(story)


def test_what_was_being_rendered_when_everything_was_ended_does_not_come_back():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        portico.delays = itertools.cycle([6])
        pausing = asyncio.create_task(portico.asked("pause s1"))
        await portico.passes(2)
        assert await portico.acknowledged("down") == "done"
        assert await portico.ended(pausing) == "refused"
        assert (portico.intent.revisions, portico.intent.fingerprint) == ({}, "")

    portico.run(story)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("portico.toml", "removing app api, site s1: no longer in portico.toml"),
        ("two.toml", "removing app api, site s1: in force from portico.toml, and not in two.toml"),
    ],
)
def test_an_up_says_first_what_the_new_file_removes(source, line):
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        asking = asyncio.create_task(portico.operations.up(request(FILES["C"], source), ME))
        change = await portico.ended(asking)
        await portico.passes(30)
        assert portico.operations.change(change.id).lines[0] == line

    portico.run(story)


def test_a_reload_follows_links_and_a_rollback_returns_to_where_they_led_before():
    portico = Portico()

    def releases() -> tuple[str, str]:
        """Where web runs, and as which version."""
        spec = portico.intent.desired.apps["web"].spec
        return spec.links.get("/srv/current", ""), spec.id.partition("@")[2].partition("+")[2]

    async def story() -> None:
        portico.links = {"/srv/current": "/srv/1"}
        assert await portico.acknowledged("up A") == "done"
        portico.links = {"/srv/current": "/srv/2"}
        assert await portico.acknowledged("up A") == "done"
        assert releases() == ("/srv/1", "")
        with pytest.raises(NotFound, match="no earlier revision that served differs"):
            await portico.operations.rollback(None, ME)
        assert await portico.acknowledged("reload web") == "done"
        assert releases() == ("/srv/2", "1")
        assert await portico.acknowledged("reload web") == "done"
        assert await portico.acknowledged("scale web 4") == "done"
        assert releases() == ("/srv/2", "2")
        assert [(each.source, each.folders) for each in portico.operations.history()] == [
            ("scale web 4", ("/srv/2",)),
            ("portico.toml", ("/srv/2",)),
            ("portico.toml", ("/srv/1",)),
            ("portico.toml", ("/srv/1",)),
        ]
        await portico.ended(asyncio.create_task(portico.operations.rollback(2, ME)))
        await portico.passes(30)
        assert releases() == ("/srv/1", "2")
        assert portico.intent.desired.apps["web"].instances == 2
        portico.links = {"/srv/current": "/srv/1"}
        assert await portico.acknowledged("reload web") == "done"
        assert portico.operations.history()[0].number == 5

    portico.run(story)


def test_a_reload_where_a_link_leads_nowhere_changes_nothing():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        before = portico.intent.versions.target("web").id
        portico.links_problem = "folder /srv/current does not exist"
        said = "cannot reload web: folder /srv/current does not exist; nothing was changed"
        with pytest.raises(Refused, match=said):
            await portico.operations.reload("web", ME)
        assert portico.intent.versions.target("web").id == before

    portico.run(story)


@pytest.mark.parametrize(
    ("file", "links", "lines"),
    [
        ("A", {}, ["web is unchanged; `portico reload web` replaces it"]),
        ("B", {}, ["web is unchanged; `portico reload web` replaces it"]),
        ("C", {}, ["removing site s1: no longer in portico.toml"]),
        (
            "A",
            {"/srv/current": "/srv/2"},
            [
                (
                    "web runs in /srv/1, and /srv/current leads to /srv/2 now; "
                    "`portico reload web` replaces it"
                )
            ],
        ),
    ],
)
def test_an_up_says_what_it_leaves_as_it_runs(file, links, lines):
    portico = Portico()

    async def story() -> None:
        portico.links = {"/srv/current": "/srv/1"}
        assert await portico.acknowledged("up A") == "done"
        portico.intent.complete("web")
        portico.links = portico.links | links
        asking = asyncio.create_task(portico.operations.up(request(FILES[file]), ME))
        change = await portico.ended(asking)
        await portico.passes(30)
        said = portico.operations.change(change.id).lines
        assert [
            line for line in said if line.startswith(("web is", "web runs", "removing"))
        ] == lines

    portico.run(story)


def test_an_up_says_which_number_of_instances_of_a_scale_is_lost():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        assert await portico.acknowledged("scale web 5") == "done"
        asking = asyncio.create_task(portico.operations.up(request(FILES["A"]), ME))
        change = await portico.ended(asking)
        await portico.passes(30)
        said = portico.operations.change(change.id).lines
        assert said == ("web: 2 instances, as in the file; it had 5",)

    portico.run(story)


@pytest.mark.parametrize("table", [{}, {"apps": {}, "sites": {}}, {"edge": {"http": 80}}])
def test_a_file_without_apps_and_sites_ends_nothing(table):
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up A") == "done"
        for ask in (portico.operations.plan, portico.operations.check):
            with pytest.raises(ConfigError, match="neither apps nor sites"):
                await portico.ended(asyncio.create_task(ask(request(table))))
        with pytest.raises(ConfigError, match="`portico down srv` ends the project"):
            await portico.ended(asyncio.create_task(portico.operations.up(request(table), ME)))
        assert portico.intent.desired.apps.keys() == {"web"}

    portico.run(story)


def test_a_site_that_left_the_file_meanwhile_cannot_be_paused():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        portico.delays = iter([6, 0, 0, 0])
        first = asyncio.create_task(portico.asked("pause s1"))
        await settle()
        putting = asyncio.create_task(portico.asked("up A"))
        await portico.passes()
        late = asyncio.create_task(portico.operations.pause("s2", ME))
        with pytest.raises(NotFound, match="there is no site 's2'; known: s1"):
            await portico.ended(late)
        assert (await portico.ended(first), await portico.ended(putting)) == ("done", "done")

    portico.run(story)


LARGER = ("scale web 4", "start web", "reload web", "pause s1", "up A")
SMALLER = ("scale web 1", "delete api", "stop web")


def test_on_a_full_disk_fewer_instances_stop_and_down_get_through_and_more_do_not():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        portico.state.full = True
        portico.broken = "cannot write the new files: No space left on device"
        answers = {what: await portico.acknowledged(what) for what in (*LARGER, *SMALLER)}
        assert answers == dict.fromkeys(LARGER, "refused") | dict.fromkeys(SMALLER, "done")
        (web,) = portico.intent.desired.apps.values()
        assert (web.instances, web.stopped) == (1, True)
        (said,) = portico.troubles.sentences()
        assert "the running configuration is unchanged" in said
        assert await portico.acknowledged("down") == "done"
        assert not portico.intent.desired.apps

    portico.run(story)


@pytest.mark.parametrize("unreadable", [False, True])
def test_what_is_in_force_and_cannot_be_rendered_at_a_start_is_looked_after_all_the_same(
    unreadable,
):
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        after = Portico()
        after.state, after.live, after.broken = portico.state, portico.live, "a bug"
        after.intent = Intent(after.state, nginx=None)
        after.instances = {}
        if unreadable:
            after.without_nginx = lambda inputs, live: after.tested_again(inputs)
        after.in_force = InForce(after.engine(), after)
        await after.ended(asyncio.create_task(after.in_force.resume()))
        assert after.intent.desired.apps.keys() == {"web", "api"}
        assert after.intent.desired.removed_apps == {}
        assert after.intent.fingerprint == after.live
        assert len(after.troubles.sentences()) == 1

    portico.run(story)


def test_what_cannot_be_read_at_a_start_leaves_nginx_the_configuration_that_it_has():
    portico = Portico()

    async def story() -> None:
        assert await portico.acknowledged("up B") == "done"
        after = Portico()
        after.state, after.live = portico.state, portico.live
        after.intent = Intent(after.state, nginx=None)
        after.instances = {}

        async def resume(inputs: Inputs) -> Candidate:
            read = await Portico.resume(after, inputs)
            return replace(read, fingerprint="", unreadable=("project x: unknown key",))

        after.resume = resume
        after.in_force = InForce(after.engine(), after)
        await after.ended(asyncio.create_task(after.in_force.resume()))
        assert after.intent.fingerprint == after.live

    portico.run(story)


# Any number of operators at once


@dataclass
class Request:
    what: str
    at: int
    said: str = ""
    saw: Files | None = None
    """What nginx served when it was said to be done."""


@dataclass
class Story:
    asked: list[Request]
    delays: list[int]
    refusals: list[bool]
    full: set[int] = field(default_factory=set)


WHAT = [
    *("up A", "up B", "up C", "pause s1", "resume s1", "pause s2", "scale web 1", "scale web 4"),
    *("scale api 3", "delete api", "deploy", "deploy"),
]
STORIES = st.builds(
    Story,
    st.lists(st.builds(Request, st.sampled_from(WHAT), st.integers(0, 6)), min_size=2, max_size=5),
    st.lists(st.integers(0, 6), min_size=1, max_size=6),
    st.lists(st.booleans(), max_size=4),
    st.sets(st.integers(0, 12), max_size=4),
)


@examples(80)
@given(STORIES)
@example(Story([Request("pause s1", 0), Request("up B", 1)], [6, 1, 1, 1], []))
@example(
    Story(
        [Request("up C", 0), Request("deploy", 1), Request("scale web 4", 1)],
        [3, 1],
        [True],
    )
)
def test_however_many_ask_at_once_the_end_is_as_if_one_had_asked_after_the_other(story):
    portico = Portico()
    portico.run(lambda: tell(portico, story))
    assert_memory_is_on_disk(portico)
    assert_one_after_the_other(portico, [each.what for each in story.asked if was_taken(each)])
    now = Files(
        tuple(portico.intent.desired.sites), portico.intent.paused_sites(), portico.certificate
    )
    assert portico.intent.fingerprint == now.fingerprint
    assert portico.live == now.fingerprint
    for each in story.asked:
        if each.said == "done" and each.what.startswith("up"):
            assert each.saw.sites == tuple(FILES[each.what[-1]]["sites"])


def was_taken(asked: Request) -> bool:
    return asked.said in {"done", "failed"} and asked.what != "deploy"


async def tell(portico: Portico, story: Story) -> None:
    first = asyncio.create_task(portico.asked("up A"))
    await portico.passes(3)
    assert await first == "done"
    portico.delays, portico.refusals = itertools.cycle(story.delays), iter(story.refusals)

    async def ask(each: Request) -> None:
        each.said = await portico.asked(each.what)
        each.saw = portico.rendered[portico.live]

    asking = []
    for step in range(400):
        portico.state.full = step in story.full
        asking += [asyncio.create_task(ask(each)) for each in story.asked if each.at == step]
        await portico.passes()
        portico.intent.writes.retry()
        if step > 12 and all(each.done() for each in asking):
            break
    await asyncio.wait_for(asyncio.gather(*asking), 1)
    portico.refusals = iter(())
    portico.clear_refusal()
    await portico.passes(2)
    portico.intent.writes.retry()


def assert_memory_is_on_disk(portico: Portico) -> None:
    assert portico.intent.writes.trouble == ""
    read = Intent(portico.state, nginx=None)
    assert read.on_disk() == portico.intent.revisions
    assert read.versions.records == portico.intent.versions.records
    assert read.paused_sites() == portico.intent.paused_sites()


def assert_one_after_the_other(portico: Portico, taken: list[str]) -> None:
    document = portico.intent.revisions[PROJECT].document
    now = (normal(document), portico.intent.paused_sites() & set(document["sites"]))
    orders = set(itertools.permutations(taken))
    ends = [end for order in orders if (end := in_this_order(order)) is not None]
    assert now in ends, f"{taken} ended in {now}, which is the end of none of {len(orders)} orders"


def normal(document: dict) -> tuple:
    return tuple(sorted((n, keys["instances"]) for n, keys in document["apps"].items())), tuple(
        document["sites"]
    )


def in_this_order(order: tuple[str, ...]):
    """What would be in force, and paused; None where one of them would have been refused."""
    apps, sites, paused = {"web": 2}, ["s1"], set()
    for what in order:
        word, name, *number = what.split()
        if word == "up":
            apps = {n: keys["instances"] for n, keys in FILES[name]["apps"].items()}
            sites = FILES[name]["sites"]
        elif word in {"pause", "resume"}:
            if name not in sites:
                return None
            paused = paused & set(sites) | {name}
            paused -= {name} if word == "resume" else set()
        elif name not in apps:
            return None
        elif word == "scale":
            apps = {**apps, name: int(number[0])}
        else:
            apps = {n: count for n, count in apps.items() if n != name}
    return (tuple(sorted(apps.items())), tuple(sites)), frozenset(paused & set(sites))
