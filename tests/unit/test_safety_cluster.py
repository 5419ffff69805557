"""What holds on a machine of a cluster, whatever happens to it and to the others.

As `test_safety`, with two other machines: they ask for our list as we ask for theirs, by the code
that ships, and are cut off now and then. Nothing that they still send requests for is taken away
on purpose; and a drained machine leaves no app that nobody else has ready.

Where they have a store it is away, wiped, another one or an older copy now and then: then it is no
order to anyone, and takes away nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.cluster import Machine as ClusterMachine
from portico.core.model.event import Requester
from portico.core.model.neighbour import NearList, Neighbour
from portico.core.model.shared import SCHEMA, ClusterRecord, SharedMachine, encode
from portico.core.model.snapshot import Delete, Put, Snapshot
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.neighbours import (
    NGINX_WAIT,
    interval,
    near_text,
    neighbours_of,
    read_near,
    with_answers,
)
from portico.core.planning.steps import Drain, Step, StopNginx, SwitchGeneration
from portico.errors import Failed, Rejected
from portico.ports.clock import Clock
from tests.examples import examples
from tests.fakes.store import FakeStore
from tests.unit import test_safety
from tests.unit.simulation import CLUSTER, Machine
from tests.unit.test_safety import ENOUGH, Play

OTHERS = ("m2", "m3")
PREFIX = prefix_of(CLUSTER)
WHO = Requester("test")
ASKS_EVERY = interval(len(OTHERS))
NGINX_ASKS = 1.0
assert NGINX_ASKS < NGINX_WAIT

of_others = (
    st.tuples(st.just("cut"), st.tuples(st.sampled_from(OTHERS), st.booleans())),
    st.tuples(st.just("cut"), st.tuples(st.sampled_from(OTHERS), st.booleans())),
    st.tuples(
        st.just("others have"),
        st.tuples(st.sampled_from(OTHERS), st.sets(st.sampled_from(["web", "api"]))),
    ),
    st.tuples(st.just("drain"), st.booleans()),
)
of_store = (
    *(
        st.tuples(st.just("store"), what)
        for what in (
            st.sampled_from(["away", "wiped", "another", "older", "alone", "together"]),
            st.just("right"),
            st.sets(st.sampled_from(["m1", "m2", "m3"])),
        )
    ),
    st.tuples(st.just("restore"), st.none()),
)
script_of_all = st.lists(
    st.tuples(
        st.one_of(
            *of_others,
            *of_store,
            *test_safety.traffic,
            *test_safety.trouble,
            *test_safety.operator,
        ),
        test_safety.steps,
    ),
    min_size=10,
    max_size=50,
)


class Others:
    """Implements Neighbours: the file that they read, and what they say."""

    def __init__(self) -> None:
        self.machine: LinkedMachine | None = None
        self.file = b""
        self.lists = {name: NearList(name) for name in OTHERS}
        self.had: frozenset[str] = frozenset()
        """The apps that any of them that was not drained said to have ready."""
        self.cut: set[str] = set()
        self.refuses: set[str] = set()
        """Those that do not take this machine for one of theirs."""

    async def ask(self, machine: str) -> bytes:
        if machine in self.refuses:
            raise Rejected("it does not accept this machine")
        if machine in self.cut:
            raise Failed("it does not answer in time")
        near = self.lists[machine]
        self.had |= frozenset() if near.leaving else near.apps.keys()
        return near_text(near).encode()

    async def announce(self, text: str, *, drained: bool) -> None:
        self.machine.reach("announce")
        if self.machine.disk.full:
            self.file = b""
            raise Failed("cannot write near.json: no space")
        self.file = text.encode()
        self.machine.reach("announced")


class Asker:
    """Another machine, which asks for our list, and for that of a third that always answers."""

    def __init__(self, name: str, machine: LinkedMachine, others: Others) -> None:
        self.name, self.machine, self.others = name, machine, others
        both = {n: ClusterMachine(address=f"10.0.0.{n[1]}") for n in ("m1", "m9")}
        self.known: dict[str, Neighbour] = neighbours_of(both, {})
        self.sent: dict[str, float] = {}
        """By app, when it was sent to us last."""
        machine.loop.call_later(0.1 * int(name[1]), self._ask)

    def _ask(self) -> None:
        answer: NearList | str = "cut off"
        if self.name not in self.others.cut:
            text = self.others.file
            answer = read_near(text, "m1") if text else NearList("m1")
        self._note_sent()
        self.known = with_answers(self.known, {"m1": answer, "m9": NearList("m9")})
        self._note_sent()
        self.machine.loop.call_later(ASKS_EVERY, self._ask)

    def _note_sent(self) -> None:
        if not self.known["m1"].is_out:
            self.sent |= dict.fromkeys(self.known["m1"].apps, self.machine.now)

    def sends(self, app: str) -> bool:
        """Whether its nginx may still send requests for it here."""
        self._note_sent()
        return self.machine.now - self.sent.get(app, float("-inf")) < NGINX_ASKS


class UnsafeStore(FakeStore):
    """What the machines share, for as long as it is `right`. Each list of machines has its number
    as a label.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.number, self._begun = 0, 0
        self._write([Put(f"{PREFIX}cluster", encode(ClusterRecord(least=SCHEMA)))])
        self.put_machines({"m1", "m2", "m3"})
        self._first = self._right = self._all

    @property
    def is_right(self) -> bool:
        """Also when it was filled again from a machine."""
        return self._all.revision > self._begun and f"{PREFIX}cluster" in self._all.items

    def happen(self, what: str | set[str]) -> None:
        match what:
            case "away":
                self.fail("it is away")
            case "wiped" | "another" | "older":
                if self.is_right:
                    self._right = self._all
                begun = {"wiped": Snapshot(1), "another": Snapshot(99), "older": self._first}
                self.replace(begun[what])
                self._begun = begun[what].revision
            case "right":
                self.fail("")
                if not self.is_right:
                    self.replace(self._right)
                    self._begun = 0
            case "alone" | "together" if self.is_right:
                present = [f"{PREFIX}present/{name}" for name in OTHERS]
                is_alone = what == "alone"
                self._write([Delete(key) if is_alone else Put(key, b"{}") for key in present])
            case set() if self.is_right:
                self.put_machines(what)

    def put(self, key: str, value: bytes) -> None:
        self._write([Put(PREFIX + key, value)])

    def put_machines(self, names: set[str]) -> None:
        """These, all others are removed."""
        self.number += 1
        labels = (str(self.number),)
        records = {n: SharedMachine(address=f"10.0.0.{n[1]}", labels=labels) for n in names}
        gone = [Delete(f"{PREFIX}machines/{name}") for name in {"m1", *OTHERS} - names]
        self._write(
            [*gone, *(Put(f"{PREFIX}machines/{n}", encode(r)) for n, r in records.items())]
        )


class LinkedMachine(Machine):
    def __init__(self, *, has_store: bool = False) -> None:
        others = Others()
        others.machine = self
        self.askers: list[Asker] = []
        super().__init__(others, UnsafeStore if has_store else None)
        self.askers = [Asker(name, self, others) for name in OTHERS]

    def drain(self, *, drained: bool) -> None:
        def change(daemon) -> None:
            away = daemon.neighbourhood.apps_to_leave()
            if not drained or daemon.neighbourhood.is_known():
                daemon.intent.leave_to_others(away if drained else None)

        self._ask(change, smaller=drained or self.intent.drained_apps is None)

    def restore(self) -> None:
        """Fill the store from the copy of this machine."""
        if self.store:
            self._ask(lambda daemon: daemon.shared.restore(act=True, who=WHO), smaller=True)

    def assert_allowed(self, step: Step) -> None:
        super().assert_allowed(step)
        if self.intent.desired.at_once or self.nginx.pid is None:
            return
        match step:
            case Drain(instance):
                app = self.instances[instance].app
                assert app not in self._departing(), f"{step}, and others still send requests"
                if app in (self.intent.drained_apps or ()):
                    assert app in self.others.had, f"{step}, and nobody else ever had it"
            case StopNginx() | SwitchGeneration():
                assert not [*self._departing()], f"{step}, and others still send requests"
            case _:
                pass

    def _departing(self) -> Iterator[str]:
        """The apps that take requests, are not wanted any more, and are sent requests for."""
        for app, endpoints in self.daemon.endpoints.items():
            wanted = self.intent.desired.apps.get(app)
            is_wanted = wanted is not None and not wanted.stopped
            if endpoints and not is_wanted and any(each.sends(app) for each in self.askers):
                yield app


class LinkedPlay(Play):
    number = 0
    """Of the list of machines that was in force last."""

    def _check(self) -> None:
        super()._check()
        if members := self.machine.intent.members:
            [number] = map(int, members.machines["m1"].labels)
            assert self.number <= number, "it goes by an older list of machines"
            self.number = number

    def _event(self, kind: str, what) -> None:
        machine: LinkedMachine = self.machine
        others: Others = machine.others
        match kind:
            case "cut":
                name, is_cut = what
                (others.cut.add if is_cut else others.cut.discard)(name)
            case "others have":
                name, apps = what
                others.lists[name] = NearList(name, dict.fromkeys(apps, 2))
            case "drain":
                machine.drain(drained=what)
            case "restore":
                machine.restore()
            case "store":
                if machine.store:
                    machine.store.happen(what)
            case _:
                super()._event(kind, what)

    def calm(self) -> None:
        self.machine.others.cut.clear()
        self.machine.disk.full = False
        self._revive()
        self._event("drain", what=False)
        self._event("store", "right")
        self._event("store", {"m1", "m2", "m3"})
        super().calm()
        for _ in range(8):
            self.happen("tick", 0.5, ENOUGH)
        if self.machine.store:
            assert self.number == self.machine.store.number
        text = self.machine.others.file  # none where there is nothing to say, and no nginx
        near = read_near(text, "m1") if text else NearList("m1")
        assert near.apps.keys() == {n for n, e in self.machine.daemon.endpoints.items() if e}
        far = {app: {each.machine for each in m} for app, m in self.machine.observed.far.items()}
        lists = self.machine.others.lists.values()
        assert far == {
            app: {each.machine for each in lists if app in each.apps}
            for app, its in self.machine.file.items()
            if its.listens
        }


@examples(15)
@given(script_of_all, st.booleans())
def test_whatever_happens_nothing_is_taken_away_that_others_send_requests_for(script, has_store):
    with LinkedMachine(has_store=has_store) as machine:
        play = LinkedPlay(machine, instances=2)
        for (kind, what), count in script:
            play.happen(kind, what, count)
        play.calm()
