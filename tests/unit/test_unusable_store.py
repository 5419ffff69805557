"""A machine of a cluster that cannot use the store serves, and does nothing on its own that the
machines share.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from portico.api.app import Api, Request
from portico.core.model.certificate import Lineage
from portico.core.model.event import Requester
from portico.daemon.lazy_parts import for_all_machines, neighbourhood_of, shared_of, sharing_of
from portico.engine.cluster.unusable_store import REASON
from portico.engine.control.assembly import Control
from portico.engine.troubles import Troubles
from portico.errors import Failed
from portico.system.cluster_identity import AUTHORITY, CERTIFICATE, MACHINE, write_identity
from portico.system.cluster_store import STORE, StoreFile, write_store
from portico.system.home import Home
from tests.fakes.clock import FakeClock

WHO = Requester("root", 0, 1, "portico")
UNCHANGED = f"{REASON}; nothing was changed. Repair that, then run `portico upgrade --daemon`"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Of a machine of a cluster with a store."""
    home = Home(tmp_path)
    home.cluster.mkdir()
    (home.cluster / AUTHORITY).write_text("no certificate")
    write_identity(home.cluster, "6a1c", "m1", "1", b"no certificate", b"no key")
    write_store(home.cluster, StoreFile(["https://127.0.0.1:2379"]))
    return home


class Own:
    """As much of `Operations` as this machine does alone."""

    machine_drain = None

    def __init__(self) -> None:
        self.done: list[str] = []

    async def down(self, who, request, project, folder):
        self.done.append("down")
        return {}

    async def restart(self, app, who, folder):
        self.done.append(f"restart {app}")
        return {}

    async def stop(self, app, who, folder):
        self.done.append(f"stop {app}")
        return {}

    def version(self):
        return {}


class Daemon:
    """As much of one as `late` puts together by the files of a home."""

    def __init__(self, home: Home) -> None:
        self.skipped: list[str] = []
        self.operations, self.timetable = Own(), SimpleNamespace(claim=None)
        self.issued = SimpleNamespace(any_token=False)
        self.app = SimpleNamespace(instances=1, stopped=False)
        engine = SimpleNamespace(
            clock=FakeClock(),
            events=SimpleNamespace(note=lambda _, app, text: self.skipped.append(f"{app} {text}")),
            intent=SimpleNamespace(desired=SimpleNamespace(apps={"clean": self.app})),
            troubles=Troubles(),
        )
        neighbourhood = neighbourhood_of(engine, home)
        shared = shared_of(engine, None, neighbourhood, home, str)
        assert shared is None
        self.sharing = sharing_of(engine, home, shared, None, None, self.issued)
        control = Control(self.operations, None, None)
        self.asked = for_all_machines(engine, home, shared, control, self.timetable)
        self.troubles = engine.troubles.sentences()

    def ask(self, method: str, target: str, **body: object) -> tuple[int, str]:
        request = Request(method, target, WHO, json.dumps(body).encode())
        answer = asyncio.run(Api(self.asked).answer(request))
        return answer.status, json.loads(answer.body).get("error", "")


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        (STORE, "{", f"cannot read where the store of the cluster is from .*{STORE}"),
        (STORE, '{"v": 2}', "written by another version of Portico"),
        (STORE, '{"v": 1, "endpoints": ["http://10.0.0.1:2379"]}', "not encrypted"),
        (MACHINE, "{", f"cannot read who this machine is in its cluster from .*{MACHINE}"),
        (MACHINE, None, f"cannot read who this machine is .*{MACHINE}: it does not exist"),
        (f"1/{CERTIFICATE}", "damaged", "cannot use the certificates for etcd"),
    ],
)
def test_a_damaged_file_lets_no_machine_act_alone(home, file, content, why):
    path = home.cluster / file
    path.unlink() if content is None else path.write_text(content)
    daemon = Daemon(home)
    [trouble] = daemon.troubles
    assert re.search(why, trouble)
    assert daemon.ask("POST", "/v1/apps/web/scale", instances=2) == (409, UNCHANGED)
    assert daemon.sharing.hindrance(Lineage("a", (), ())) == REASON
    daemon.timetable.claim("clean", 0.0)
    assert daemon.skipped == [f"clean it did not run on this machine: {REASON}"]


def test_what_concerns_this_machine_alone_is_done(home):
    daemon = Daemon(home)
    for method, target in (
        ("POST", "/v1/apps/web/stop"),
        ("POST", "/v1/apps/web/reload"),
        ("POST", "/v1/down"),
        ("POST", "/v1/cluster/drain"),
        ("POST", "/v1/cluster/tokens"),
        ("GET", "/v1/cluster"),
    ):
        assert daemon.ask(method, target) == (409, UNCHANGED), target
    assert daemon.operations.done == []
    daemon.ask("POST", "/v1/apps/web/stop?here=1")
    daemon.ask("POST", "/v1/apps/web.2/restart")
    daemon.ask("POST", "/v1/down", everything=True)
    assert daemon.operations.done == ["stop web", "restart web.2", "down"]
    assert daemon.ask("GET", "/v1/version") == (200, "")
    assert daemon.ask("DELETE", "/v1/cluster") == (500, REASON)  # --force leaves all the same


def test_no_certificate_is_ordered_and_orders_of_other_machines_are_answered(home):
    daemon = Daemon(home)
    assert daemon.issued.any_token
    assert daemon.sharing.account_hindrance() == REASON
    assert not daemon.sharing.has_account()
    with pytest.raises(Failed, match="cannot use the store"):
        asyncio.run(daemon.sharing.begin(Lineage("a", (), ()), "a.c1"))


def test_an_app_that_is_stopped_has_no_run_to_skip(home):
    daemon = Daemon(home)
    daemon.app.stopped = True
    daemon.timetable.claim("clean", 0.0)
    assert daemon.skipped == []


def test_a_machine_whose_cluster_has_no_store_acts_alone(home):
    (home.cluster / STORE).unlink()
    daemon = Daemon(home)
    assert daemon.asked is daemon.operations
    assert (daemon.sharing, daemon.timetable.claim) == (None, None)
    assert daemon.troubles == []
