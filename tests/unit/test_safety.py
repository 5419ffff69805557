"""What holds whatever happens: events, operators and deaths of the daemon in any order.

Every script is played by the engine that ships, on a machine in memory. At any call that changes
something the daemon may be lost, and with it all that is not on disk: what it handed out, whom
nginx was told, connections it counted. The disk may be full. That no instance is stopped while
nginx may send to it, and that no two processes get one port, is asserted by the machine itself.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App, SlotServer
from portico.core.model.desired import Spec
from portico.core.model.instance import InstanceState
from tests.examples import examples
from tests.unit.outside import CRASHING, GOOD, HANGING, SILENT, SLOW, STUBBORN
from tests.unit.promise import Promise
from tests.unit.simulation import Machine

S = InstanceState
PORTS = {"web": (None, 3000, 3001), "api": (None, 4000), "jobs": (False,)}
BEFORE = {"web": {"jobs", "api"}, "api": {"jobs"}, "jobs": set()}
LIMITS = {
    "ready_timeout": 6,
    "stop_timeout": 3,
    "backoff_limit": 2,
    "health": {"interval": 1, "fall": 2},
}
ENOUGH = 50  # steps that bring any plan to rest
CALM = 600  # half seconds in which everything is as wanted again

slots = st.dictionaries(
    st.sampled_from("123"),
    st.sampled_from([SlotServer(down=True), SlotServer(backup=True)]),
    max_size=1,
)
names = st.sampled_from(["web", "web", "web", "web", "api", "jobs"])
keys = st.fixed_dictionaries(
    {
        "instances": st.integers(1, 4),
        "port": st.integers(0, 2),
        "batch": st.integers(1, 3),
        "drain_timeout": st.sampled_from([0, 4]),
        "wait_ready": st.booleans(),
        "after": st.sets(st.sampled_from(["jobs", "api"])),
        "slots": slots,
    }
)
programs = st.sampled_from([GOOD, GOOD, GOOD, SLOW, STUBBORN, SILENT, CRASHING, HANGING])
seconds = st.sampled_from([0.1, 0.5, 0.5, 1.0, 1.0, 3.0])
which = st.integers(0, 7)
traffic = (
    st.tuples(st.just("tick"), seconds),
    st.tuples(st.just("tick"), seconds),
    st.tuples(st.just("open"), which),
    st.tuples(st.just("close"), which),
    st.tuples(st.just("ask"), st.sampled_from(["web", "api"])),
    st.tuples(st.just("lose the daemon"), st.none()),
)
trouble = (
    st.tuples(st.sampled_from(["crash", "hang", "recover"]), which),
    st.tuples(st.just("nginx dies"), st.none()),
    st.tuples(st.just("lose the daemon"), st.sampled_from([("spawn", 1), ("spawned", 1)])),
    st.tuples(st.just("lose the daemon"), st.tuples(st.just(""), st.integers(1, 20))),
    st.tuples(st.just("disk full"), st.booleans()),
)
operator = (
    st.tuples(st.just("up"), st.tuples(names, keys, programs)),
    st.tuples(st.just("up"), st.tuples(names, keys, programs)),
    st.tuples(st.just("scale"), st.tuples(names, st.integers(1, 4))),
    st.tuples(st.just("wear"), which),
    st.tuples(st.sampled_from(["reload", "restart", "stop", "start", "remove"]), names),
    st.tuples(st.sampled_from(["pause", "resume"]), names),
    st.tuples(st.just("down"), st.booleans()),
    st.tuples(st.just("rendering takes"), st.sampled_from([0.0, 0.3, 2.0])),
)
steps = st.sampled_from([0, 1, 2, 3, ENOUGH, ENOUGH, ENOUGH])
roll_out = st.tuples(st.just("roll out"), programs)
anything = st.lists(
    st.tuples(st.one_of(*traffic, *traffic, *trouble, *operator), steps), min_size=10, max_size=60
)
rollouts = st.lists(st.tuples(st.one_of(roll_out, *traffic), steps), min_size=10, max_size=40)


class Play:
    """A machine, what happens to it, and what has to hold all the time."""

    def __init__(self, machine: Machine, **app) -> None:
        self.machine = machine
        self.promises = {name: Promise(self.machine, name) for name in PORTS}
        self.machine.on_crash = lambda name: self.promises[name].crashed()
        self.machine.on_hang = lambda name: self.promises[name].hung()
        self.machine.on_ask = lambda name: self.promises[name].asked()
        self.machine.on_said = self._promise_anew
        self.versions, self.least = 0, 0
        self.keys = app
        self.happen("roll out", GOOD, ENOUGH)

    def happen(self, kind: str, what, count: int) -> None:
        """One thing, and then so many steps of the daemon."""
        self._event(kind, what)
        self._check()
        if count == ENOUGH:
            self._revive()
        if self.machine.daemon is not None:
            self._steps(count)

    def _revive(self) -> None:
        while self.machine.daemon is None:
            self.machine.begin()

    def calm(self) -> None:
        """Nothing goes wrong any more; and a version that cannot run is put right by hand, where
        there is none to revert to.
        """
        machine = self.machine
        machine.dies_in, machine.rendering_takes, machine.disk.full = 0, 0.0, False
        self._revive()
        self.happen("tick", 2.0, ENOUGH)
        for name, record in list(machine.records.items()):
            hopeless = record.good is None or record.abrupt
            if name in machine.file and hopeless and self._is_bad(record.target):
                self._event("up", (name, {"instances": 2}, GOOD))
        for before in {name for app in machine.file.values() for name in app.after}:
            machine.set_stopped(before, stopped=False)
        for process in machine.processes.values():
            process.connections = 0
        for _ in range(CALM):
            self.happen("tick", 0.5, ENOUGH)
            if not self._unfinished():
                return
        raise AssertionError(self._unfinished())

    def _steps(self, count: int) -> None:
        for _ in range(count):
            if not self.machine.step() and self.machine.daemon is not None:
                self._check_at_rest()
                return
            self._check()
            if self.machine.daemon is None and count < ENOUGH:
                return
            self._revive()
        assert count < ENOUGH, f"the plan never comes to rest: {self.machine.done[-9:]}"

    def _event(self, kind: str, what) -> None:  # noqa: PLR0912 - one case a kind
        machine, running = self.machine, list(self.machine.processes.values())
        one = running[what % len(running)] if running and isinstance(what, int) else None
        peers = [peer.instance for name in PORTS for peer in machine.answering(name)]
        match kind:
            case "tick":
                machine.tick(what)
            case "ask":
                machine.ask(what)
            case "open" if peers:
                machine.processes[peers[what % len(peers)]].connections += 1
            case "close" if one:
                one.connections = max(0, one.connections - 1)
            case "crash" if one:
                machine.crash(one)
            case "hang" if one:
                machine.hang(one)
            case "recover" if one:
                machine.recover(one)
            case "wear" if one:
                machine.wear(one)
            case "lose the daemon":
                machine.lose_daemon(*(what or ()))
            case "disk full":
                machine.disk.full = what
            case "rendering takes":
                machine.rendering_takes = what
            case "down":
                machine.down(at_once=what)
            case "nginx dies":
                machine.nginx_dies()
            case "roll out":
                self._say("up", ("web", self.keys, what))
            case "up" | "scale" | "reload" | "restart" | "stop" | "start" | "remove":
                self._say(kind, what)
            case "pause" | "resume":
                machine.pause(what, paused=kind == "pause")

    def _say(self, kind: str, what) -> None:
        machine, name = self.machine, what if isinstance(what, str) else what[0]
        if kind == "up":
            _, keys, program = what
            ports = PORTS[name]
            keys = {**LIMITS, **keys, "port": ports[keys.get("port", 0) % len(ports)]}
            before = BEFORE[name] & keys.get("after", set()) & machine.file.keys()
            keys["after"] = tuple(sorted(before))
            self.versions += 1
            machine.up(name, App.model_validate(keys), f"v{self.versions}", program)
        elif name in machine.file:
            match kind:
                case "scale":
                    machine.up_again(name, instances=what[1])
                case "reload" | "restart":
                    machine.reload(name, abrupt=kind == "restart")
                case "stop" | "start":
                    machine.set_stopped(name, stopped=kind == "stop")
                case "remove":
                    machine.remove(name)

    def _promise_anew(self) -> None:
        for promise in self.promises.values():
            promise.said()

    def _check(self) -> None:
        assert len(self.machine.answering("web")) >= self.least
        self.machine.assert_on_disk()
        for promise in self.promises.values():
            promise.check()

    def _check_at_rest(self) -> None:
        """One endpoint for every open slot in which an instance is ready, and no other.

        Where none is ready, one for all that fail their check, but for one that is restarted.
        """
        for name, app in self.machine.file.items():
            down = {int(number) for number, slot in app.slots.items() if slot.down}
            handed_out = self.machine.daemon.endpoints[name]
            for state, spared in ((S.READY, 0), (S.UNREADY, 1)):
                open_ones = self.machine.in_state(state, name)
                open_ones = {i.id: i.slot for i in open_ones if i.port and i.slot not in down}
                slots = set(open_ones.values())
                if slots:
                    assert {open_ones.get(each.instance) for each in handed_out} <= slots
                    assert len(slots) - spared <= len(handed_out) <= len(slots)
                    break

    def _is_bad(self, version: Spec) -> bool:
        """Whoever listens nowhere is well if he stays."""
        program = self.machine.programs[version.id.partition("+")[0]]
        silent = program is SILENT and version.app.wait_ready
        return silent or program is CRASHING or (program is HANGING and version.app.listens)

    def _unfinished(self) -> list[str]:
        """What is not as wanted yet."""
        machine = self.machine
        found = [f"{i} is left" for i in machine.instances.values() if i.app not in machine.file]
        hung = [each for each in machine.processes.values() if each.hung and each.port]
        found += [f"{each.instance} hangs" for each in hung]
        for name, app in machine.file.items():
            record, mine = machine.records[name], machine.of(name)
            wanted = set() if record.stopped else set(range(1, app.instances + 1))
            pinned = record.target.app.pinned_port
            well = {
                i.slot
                for i in machine.in_state(S.READY, name)
                if i.spec == record.target.id and pinned(i.slot) in {None, i.port} and not i.worn
            }
            if well != wanted or len(mine) != len(wanted):
                found.append(f"{name} has {mine} and not {wanted} in {record.target.id}")
            if not record.stopped and (self._is_bad(record.target) or record.abrupt):
                found.append(f"{name} is not reverted from {record.target.id}")
        live = machine.nginx.live if machine.nginx.pid else ""
        return found if live == machine.intent.fingerprint else [*found, f"nginx serves {live}"]


@examples(80)
@given(anything)
def test_whatever_happens_requests_find_an_instance_and_in_the_end_all_is_as_wanted(script):
    with Machine() as machine:
        play = Play(machine, instances=2)
        for (kind, what), count in script:
            play.happen(kind, what, count)
        play.calm()


@examples(40)
@given(st.integers(1, 5), st.integers(0, 1), st.integers(1, 3), rollouts)
def test_a_rollout_keeps_as_many_as_before_or_with_pinned_ports_all_but_a_batch(
    count, port, batch, script
):
    with Machine() as machine:
        play = Play(machine, instances=count, port=port, batch=batch)
        for _ in range(3):
            play.happen("tick", 1.0, ENOUGH)
        play.least = max(1, count - batch) if port else count
        for (kind, what), steps_after in script:
            play.happen(kind, what, steps_after)
        play.calm()
