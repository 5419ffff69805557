"""Who an app runs as and who reaches it, said once however many apps and instances there are."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from portico.core.config.notes import as_root, open_to_all
from portico.core.model.app import App
from portico.core.model.instance import InstanceState, ListeningPort, Process
from portico.engine.exposure import Exposure

S = InstanceState


class Machine:
    """Apps with one version each, and where the instances of each listen."""

    def __init__(self, *, root=False, **listens):
        self.listens, self.asked = listens, []
        self.instances = {}
        apps = {name: SimpleNamespace(app=App(command="x")) for name in listens}
        self.desired = SimpleNamespace(apps=apps)
        self.exposure = Exposure(self, self, self, root=root)

    async def listening_ports(self, process):
        self.asked.append(process.pid)
        app = next(i.app for i in self.instances.values() if i.process == process)
        return frozenset({ListeningPort(*self.listens[app])})

    def run(self, app, *, pid=1, state=S.READY, spec="1", port=80):
        self.instances[pid] = SimpleNamespace(
            app=app, process=Process(pid, 1.0), state=state, spec=spec, port=port
        )
        asyncio.run(self.exposure.look())
        return self.exposure.notes()


def test_an_app_that_listens_on_all_addresses_is_noted_once():
    machine = Machine(web=(80, "*"), api=(80, "127.0.0.1"))
    for pid in range(1, 9):
        notes = machine.run("web", pid=pid)
        machine.run("api", pid=pid + 100)
    assert notes == open_to_all(["web"])
    assert len(machine.asked) == 2


def test_another_version_is_looked_at_anew():
    machine = Machine(web=(80, "*"))
    machine.run("web")
    machine.listens["web"] = (80, "127.0.0.1")
    machine.instances.clear()
    assert machine.run("web", pid=2, spec="2") == []


def test_nothing_is_said_of_what_is_not_ready_or_of_another_port():
    assert Machine(web=(80, "*")).run("web", state=S.STARTING) == []
    assert Machine(web=(9000, "*")).run("web") == []
    assert Machine(web=(80, "[::1]")).run("web") == []


def test_programs_that_run_as_root_are_named_in_one_note():
    apps = {"web": App(command="x"), "api": App(command="x", user="app")}
    assert as_root(apps, root=False) == []
    assert as_root(apps, root=True) == ["apps.web: has no user, so its program runs as root"]
    many = {f"a{n}": App(command="x") for n in range(7)}
    assert as_root(many, root=True) == [
        "apps: a0, a1, a2, a3, a4 and 2 more have no user, so their programs run as root"
    ]
    assert as_root({"web": App(command="x", user="root")}, root=True) == []


def test_a_status_has_the_note_about_root():
    assert Machine(root=True, web=(80, "127.0.0.1")).run("web") == [
        "apps.web: has no user, so its program runs as root"
    ]


def test_a_command_notes_the_open_apps_of_its_own_file_by_their_names_there():
    machine = Machine(root=True, **{"web": (80, "*"), "b/web": (80, "*"), "b/api": (80, "[::1]")})
    for pid, app in enumerate(machine.listens):
        machine.run(app, pid=pid)
    assert machine.exposure.notes_after(["b/web", "b/api"]) == open_to_all(["web"])


def test_several_open_apps_are_named_in_one_note():
    way = "so clients can bypass nginx; make {} listen on 127.0.0.1 ($HOST)"
    assert open_to_all(["a"]) == [f"apps.a: listens on all addresses, {way.format('it')}"]
    assert open_to_all(["a", "b"]) == [f"apps: a, b listen on all addresses, {way.format('them')}"]
