"""What holds whatever happens: events, operators and deaths of the daemon in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.core.model.app import App, SlotServer
from portico.core.model.check import Check
from portico.core.model.instance import InstanceState
from tests.unit.simulation import CRASHING, GOOD, HANGING, STUBBORN, Machine, Program

S = InstanceState
SLOW = Program(ready_after=3.0, stops_after=2.0)
NAMES = st.sampled_from(["web", "web", "web", "web", "api", "jobs"])
PORTS = {"web": (None, 3000, 3001), "api": (None, 4000), "jobs": (False,)}
COMMON = {
    "ready_timeout": 6.0,
    "stop_timeout": 3.0,
    "backoff_limit": 2.0,
    "health": Check(interval=1.0, fall=2),
}
BAD = (CRASHING, HANGING)

apps = st.fixed_dictionaries(
    {
        "instances": st.integers(1, 4),
        "port": st.integers(0, 2),
        "batch": st.integers(1, 3),
        "drain_timeout": st.sampled_from([0.0, 4.0]),
        "slots": st.dictionaries(
            st.sampled_from("123"),
            st.sampled_from([SlotServer(down=True), SlotServer(backup=True)]),
            max_size=1,
        ),
    }
)
programs = st.sampled_from([GOOD, GOOD, GOOD, SLOW, STUBBORN, *BAD])
number = st.integers(0, 7)
machine_events = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from([0.1, 0.5, 1.0, 3.0])),
    st.tuples(st.just("tick"), st.sampled_from([0.1, 0.5, 1.0, 3.0])),
    st.tuples(st.just("tick"), st.sampled_from([0.5, 1.0])),
    st.tuples(st.just("crash"), number),
    st.tuples(st.just("wear"), number),
    st.tuples(st.just("hang"), number),
    st.tuples(st.just("recover"), number),
    st.tuples(st.just("open"), number),
    st.tuples(st.just("close"), number),
    st.tuples(st.just("ask"), st.sampled_from(["web", "api"])),
    st.tuples(st.just("lose"), st.none()),
    st.tuples(st.just("nginx dies"), st.none()),
)
operator_events = st.one_of(
    st.tuples(st.just("up"), st.tuples(NAMES, apps, programs)),
    st.tuples(st.just("up"), st.tuples(NAMES, apps, programs)),
    st.tuples(st.just("scale"), st.tuples(NAMES, st.integers(1, 4))),
    st.tuples(st.sampled_from(["reload", "restart", "stop", "start", "remove"]), NAMES),
)
steps = st.sampled_from([0, 1, 2, 3, 50, 50, 50])
events = st.tuples(st.one_of(machine_events, machine_events, operator_events), steps)


class Promise:
    """How many peers that answer nginx must keep of an app.

    As many as once were ready in wanted slots when nginx asked, less those that ended by
    themselves since, and those that the operator wants no more; while pinned ports are
    replaced, less a batch, but never the last one.
    """

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name
        self.kept = 0

    def crashed(self) -> None:
        """Called just before one that answers ends."""
        self.kept = max(0, min(self.kept, len(self.machine.answering(self.name))) - 1)

    def hung(self) -> None:
        """As if it had ended; but it is still believed to serve while pinned ports change hands."""
        self.crashed()
        if self._pinned():
            self.kept = 0

    def asked(self) -> None:
        if not (self._pinned() and self._believed_in_vain()):
            self.kept = max(self.kept, self._ready())

    def said(self) -> None:
        self.kept = min(self.kept, self._ready())

    def check(self) -> None:
        machine = self.machine
        record, app = machine.records.get(self.name), machine.file.get(self.name)
        if (
            not record
            or not app
            or record.stopped
            or record.abrupt
            or self.name not in machine.peers
        ):
            self.kept = 0
            return
        least = self.kept
        if self._pinned():
            least = max(min(self.kept, 1), self.kept - app.batch)
        answering = len(machine.answering(self.name))
        assert answering >= least, f"{self.name}: {answering} answer, of {self.kept} promised"

    def _pinned(self) -> bool:
        app = self.machine.file.get(self.name)
        ports = [i.port for i in self.machine.instances.values() if i.app == self.name]
        return bool((app and app.port) or any(port < 41000 for port in ports))

    def _believed_in_vain(self) -> bool:
        ready = self.machine.in_state(S.READY, self.name)
        running = (self.machine.processes.get(i.id) for i in ready)
        return any(process and process.hung for process in running)

    def _ready(self) -> int:
        """Peers of nginx that are ready and stay, in wanted slots; one, if only others are.

        One that hangs and was not found out yet is believed to stay, and promises nothing.
        """
        machine, app = self.machine, self.machine.file.get(self.name)
        if not app or not machine.records[self.name].target.app.listens:
            return 0
        down = {int(number) for number, slot in app.slots.items() if slot.down}
        wanted = set(range(1, app.instances + 1)) - down
        ready = {i.id for i in machine.in_state(S.READY, self.name)}
        peers = {p.instance: p.slot for p in machine.peers.get(self.name, ())}
        believed = {slot for i, slot in peers.items() if i in ready and slot not in down}
        slots = believed & {peer.slot for peer in machine.answering(self.name)}
        if believed & wanted:
            return len(slots & wanted)
        return min(1, len(slots)) if wanted else 0


class Play:
    def __init__(self) -> None:
        self.machine = Machine()
        self.promises = {name: Promise(self.machine, name) for name in PORTS}
        self.machine.on_crash = lambda app: self.promises[app].crashed()
        self.machine.on_hang = lambda app: self.promises[app].hung()
        self.machine.on_ask = lambda app: self.promises[app].asked()
        self.versions = 0

    def happen(self, kind: str, what) -> None:
        machine = self.machine
        running = list(machine.processes.values())
        match kind:
            case "tick":
                machine.tick(what)
            case "crash" if running:
                machine.crash(running[what % len(running)])
            case "hang" if running:
                machine.hang(running[what % len(running)])
            case "recover" if running:
                running[what % len(running)].hung = False
            case "wear" if running:
                machine.wear(running[what % len(running)])
            case "open":
                if peers := [p for name in PORTS for p in machine.answering(name)]:
                    machine.processes[peers[what % len(peers)].instance].connections += 1
            case "close" if running:
                process = running[what % len(running)]
                process.connections = max(0, process.connections - 1)
            case "ask":
                machine.ask(what)
            case "lose":
                machine.lose_daemon()
            case "nginx dies":
                machine.nginx_dies()
            case "crash" | "close" | "wear" | "hang" | "recover":
                pass
            case _:
                self.said(kind, what)
        self.check()

    def said(self, kind: str, what) -> None:
        machine = self.machine
        if kind == "up":
            name, app, program = what
            self.versions += 1
            port = PORTS[name][app["port"] % len(PORTS[name])]
            if port is False:
                app = {**app, "slots": {}}
            machine.up(name, App(**COMMON | app | {"port": port}), f"v{self.versions}", program)
        elif kind == "scale" and what[0] in machine.file:
            name, count = what
            app = machine.file[name].model_copy(update={"instances": count})
            machine.up_again(name, app)
        elif what in machine.file:
            match kind:
                case "reload":
                    machine.reload(what)
                case "restart":
                    machine.reload(what, abrupt=True)
                case "stop" | "start":
                    machine.set_stopped(what, stopped=kind == "stop")
                case "remove":
                    machine.remove(what)
        for promise in self.promises.values():
            promise.said()

    def steps(self, count: int) -> None:
        if self.machine.daemon is None:
            if count < 50:
                return
            self.machine.begin()
        for _ in range(count):
            if not self.machine.step():
                self.at_rest()
                return
            self.check()

    def check(self) -> None:
        for promise in self.promises.values():
            promise.check()

    def at_rest(self) -> None:
        """Exactly the ready instances are handed out, one a slot.

        Where none is ready, all that fail their check are, but for one that is restarted next.
        """
        machine = self.machine
        for name, app in machine.file.items():
            ready = {i.id: i.slot for i in machine.in_state(S.READY, name) if i.port}
            down = {int(number) for number, slot in app.slots.items() if slot.down}
            slots = {s for s in ready.values() if s not in down}
            if not machine.records[name].target.app.listens:
                slots = set()
            handed_out = machine.daemon.endpoints[name]
            if not slots and machine.records[name].target.app.listens:
                self.hands_out_the_unready(handed_out, name, down)
                continue
            assert {e.slot for e in handed_out} == slots
            assert all(e.instance in ready for e in handed_out)

    def hands_out_the_unready(self, handed_out, name, down) -> None:
        unready = {i.id: i.slot for i in self.machine.in_state(S.UNREADY, name) if i.port}
        slots = {slot for slot in unready.values() if slot not in down}
        assert len(slots) - 1 <= len(handed_out) <= len(slots)
        assert all(e.slot in slots and e.instance in unready for e in handed_out)

    def calm(self) -> None:
        """Nothing happens any more; a version that cannot run and replaces nothing is put right."""
        machine = self.machine
        if machine.daemon is None:
            machine.begin()
        if machine.nginx.pid is None:
            pass
        for name in machine.file:
            record = machine.records[name]
            if (record.good is None or record.abrupt) and machine.programs[
                record.target.id
            ] in BAD:
                self.said("up", (name, {"instances": 2, "port": 0}, GOOD))
        for process in machine.processes.values():
            process.connections = 0
        for _ in range(600):
            machine.tick(0.5)
            for _ in range(200):
                if not machine.step():
                    break
                self.check()
            else:
                raise AssertionError(f"never rests: {machine.done[-10:]}")
            self.at_rest()
            if not self.left():
                return
        raise AssertionError(self.left())

    def left(self) -> list[str]:
        """What is not as wanted yet."""
        machine = self.machine
        found = []
        for name, app in machine.file.items():
            record = machine.records[name]
            mine = [i for i in machine.instances.values() if i.app == name]
            if record.stopped:
                found += mine
                continue
            ready = sorted(i.slot for i in mine if i.state is S.READY)
            if ready != list(range(1, app.instances + 1)) or len(mine) > app.instances:
                found.append(f"{name}: {mine}")
            if any(i.spec != record.target.id for i in mine) or record.good != record.target:
                found.append(f"{name}: {mine} instead of {record.target.id}")
            found += [i for i in mine if i.worn]
            found += [
                i for i in mine if i.id in machine.processes and machine.processes[i.id].hung
            ]
            pinned = record.target.app.pinned
            if any(pinned(i.slot) not in {None, i.port} for i in mine):
                found.append(f"{name}: not on its ports: {mine}")
            if machine.programs[record.target.id] in BAD:
                found.append(f"{name} runs {record.target.id}")
        found += [i for i in machine.instances.values() if i.app not in machine.file]
        seen, generation = machine.nginx, machine.generation
        if generation != (seen.live if seen.pid else ""):
            found.append(str(seen))
        return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, min_size=10, max_size=60))
def test_play(script):
    play = Play()
    play.happen("up", ("web", {"instances": 2, "port": 0}, GOOD))
    play.steps(50)
    for (kind, what), count in script:
        play.happen(kind, what)
        play.steps(count)
    play.calm()
