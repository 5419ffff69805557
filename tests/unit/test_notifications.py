"""Where events are sent: what, when again, and what is given up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from types import SimpleNamespace

import pytest

from portico.core.config.document import read_document
from portico.core.model.desired import Desired
from portico.core.model.event import KINDS
from portico.core.model.notification import MACHINE_KEY, Notify, NotifyTarget
from portico.core.model.requests import DocumentRequest
from portico.core.planning.notifications import MAX_ATTEMPTS, MAX_WAITING_EVENTS, signature
from portico.engine.inputs import Inputs, read_files
from portico.engine.notifications import Notifications
from portico.engine.troubles import Troubles
from portico.errors import ConfigError, Failed
from tests.fakes.state import MemoryState, events_of


class Receiver:
    """Takes requests, or answers with what is wrong."""

    def __init__(self):
        self.wrong, self.taken, self.attempts = None, [], 0

    async def post(self, table, body, now):
        self.attempts += 1
        if self.wrong is None:
            self.taken.append(json.loads(body))
        return self.wrong

    async def run(self, table, body, environ):
        self.taken.append((json.loads(body), environ))


class Now:
    """Sleeps for no time."""

    def __init__(self):
        self.slept = []

    def now(self):
        return 1_800_000_000.0

    def jitter(self):
        return 0.0

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Scene:
    """An engine with one target, `ops` of the project that came first."""

    def __init__(self, state=None, **table):
        self.state, self.clock, self.receiver = state or MemoryState(), Now(), Receiver()
        self.events, self.troubles = events_of(self.state, self.clock), Troubles()
        self.started = []
        target = NotifyTarget("ops", MACHINE_KEY, Notify(**table or {"url": "https://a.test/"}))
        engine = SimpleNamespace(
            intent=SimpleNamespace(
                desired=Desired(apps={"web": None}, notify={"/ops": target}), revisions={}
            ),
            state=self.state,
            events=self.events,
            clock=self.clock,
            tasks=SimpleNamespace(start=self._start),
            troubles=self.troubles,
        )
        self.engine = engine
        self.notifications = Notifications(engine, self.receiver, "web1")

    def _start(self, subject, work):
        self.started.append(work)
        return SimpleNamespace(done=lambda: True)

    def look(self):
        async def look():
            await self.notifications.look()
            works, self.started = self.started, []
            for work in works:
                await work()

        asyncio.run(look())

    def note(self, count, kind="exit"):
        for n in range(count):
            self.events.note(kind, "web.1.1", str(n))

    def texts(self):
        return [each["text"] for request in self.receiver.taken for each in request["events"]]


def test_a_kind_that_has_another_name_now_is_still_known():
    table = Notify(url="https://a.test", events=("worn", "exit"))
    assert NotifyTarget("x", "", table).kinds == ("replace", "exit")


def test_a_target_gets_events_of_its_kinds_from_the_file_that_names_it_on():
    scene = Scene()
    scene.note(3)
    scene.look()
    scene.note(250)
    scene.note(5, kind="state")
    scene.look()
    scene.look()
    assert scene.texts() == [str(n) for n in range(250)]
    [first, *_] = scene.receiver.taken
    assert (first["version"], first["host"], first["target"]) == (1, "web1", "ops")
    assert first["events"][0]["time"] == "2027-01-15 08:00:00 UTC"
    assert [len(request["events"]) for request in scene.receiver.taken] == [100, 100, 50]


def test_what_could_not_be_sent_is_sent_by_the_next_daemon():
    scene = Scene()
    scene.look()
    scene.note(2)
    again = Scene(scene.state)
    again.look()
    assert again.texts() == ["0", "1"]


def test_a_target_that_fails_is_tried_again_later_and_later_then_its_events_are_given_up():
    scene = Scene()
    scene.look()
    scene.note(3)
    scene.receiver.wrong = "a.test answered 503"
    scene.look()
    assert scene.receiver.attempts == MAX_ATTEMPTS
    assert scene.clock.slept == sorted(scene.clock.slept)
    assert 600 < sum(scene.clock.slept) < 3600
    [said] = scene.troubles.sentences()
    assert said == "notify ops: 3 events were not sent: after 10 attempts: a.test answered 503"
    assert scene.state.recorded[-1].kind == "notify"

    scene.receiver.wrong = None
    scene.note(1)
    scene.look()
    assert [request["dropped"] for request in scene.receiver.taken] == [3]
    assert scene.troubles.sentences() == []


def test_of_too_many_events_the_oldest_are_dropped_and_counted():
    scene = Scene()
    scene.look()
    scene.note(MAX_WAITING_EVENTS + 20)
    scene.look()
    assert len(scene.texts()) == MAX_WAITING_EVENTS
    assert scene.texts()[0] == "20"
    assert scene.receiver.taken[0]["dropped"] == 20


def test_a_full_disk_does_not_send_events_twice():
    scene = Scene()
    scene.look()

    def full(*_):
        raise Failed("the disk is full")

    scene.state.put_notified = full
    scene.note(1)
    scene.look()
    scene.look()
    assert scene.texts() == ["0"]


def test_a_target_of_a_project_that_is_not_in_force_gets_no_events_of_others():
    scene = Scene()
    target = NotifyTarget("ops", "shop", Notify(url="https://a.test/"))
    scene.engine.intent.desired = Desired(apps={"web": None}, notify={"shop/ops": target})
    scene.look()
    scene.note(2)
    scene.look()
    assert scene.texts() == []


def test_a_target_that_is_removed_is_forgotten():
    scene = Scene()
    scene.look()
    scene.engine.intent.desired = Desired(apps={"web": None})
    scene.look()
    assert scene.state.last_notified() == {}


def test_a_command_runs_once_for_each_event_with_its_words_in_the_environment():
    scene = Scene(command=("page",), events=("all",))
    scene.look()
    scene.note(2)
    scene.look()
    assert [environ["PORTICO_TEXT"] for _, environ in scene.receiver.taken] == ["0", "1"]
    document, environ = scene.receiver.taken[0]
    assert len(document["events"]) == 1
    assert (environ["PORTICO_EVENT"], environ["PORTICO_SUBJECT"]) == ("exit", "web.1.1")


def test_a_signature_is_of_the_moment_and_the_body():
    expected = hmac.new(b"hush", b"1800000000.{}", hashlib.sha256).hexdigest()
    assert signature(b"hush", b"{}", 1_800_000_000.9) == f"t=1800000000,v1={expected}"


def problems(**table):
    with pytest.raises(ConfigError) as refused:
        read_document({"notify": {"ops": table}}, source="portico.toml")
    return [f"{each.where}: {each.what}" for each in refused.value.problems]


def test_a_table_that_cannot_be_meant_is_refused():
    assert problems() == ["notify.ops: must have either url or command"]
    assert problems(url="https://a.test/", command=["x"]) == problems()
    assert problems(url="ftp://a.test") == [
        "notify.ops.url: must be a URL that begins with https:// or http://"
    ]
    assert problems(command=["x"], secret_file="s") == ["notify.ops.secret_file: is only for url"]
    assert problems(url="http://a", user="ann") == ["notify.ops.user: is only for command"]
    [said] = problems(url="http://a", events=["exits"])
    assert "notify.ops.events[0]" in said
    assert "a kind of event" in said


def request(table, source="/srv/portico.toml"):
    return DocumentRequest(source=source, folder="/srv", table=table)


def test_a_target_of_a_file_is_its_projects_and_one_of_edge_toml_is_of_all():
    hook = {"notify": {"ops": {"url": "https://a.test/", "secret_file": "key"}}}
    inputs = Inputs(
        {"shop": request(hook)}, {}, frozenset(), project="shop", edge=request(hook, "/edge.toml")
    )
    found = read_files(inputs, SimpleNamespace(root=True, cores=2, ipv6=True)).desired.notify
    assert {key: target.project for key, target in found.items()} == {
        "shop/ops": "shop",
        "/ops": MACHINE_KEY,
    }
    assert found["/ops"].table.secret_file == "/srv/key"


def test_every_kind_that_the_page_lists_can_be_chosen():
    assert Notify(url="https://a.test/", events=KINDS).events == KINDS
    assert "notify" not in NotifyTarget("x", "", Notify(command=("x",), events=("all",))).kinds
