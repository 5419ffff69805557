"""How many peers that answer nginx must keep of an app, whatever the plan is."""

from __future__ import annotations

from portico.core.model.instance import InstanceState
from tests.unit.outside import FIRST_FREE_PORT
from tests.unit.simulation import Machine

S = InstanceState


class Promise:
    """As many as were ready, in wanted slots, at one time when nginx asked: less those that have
    ended or hung by themselves since, and those that the operator wants no more.

    While pinned ports are replaced a batch may be missing, but never the last one. Where no
    wanted slot has a ready instance, one in any other slot is kept. A removed app keeps what it
    has for as long as nginx names it. One that is stopped or restarted by hand was promised
    nothing; and so it is with all apps when nginx itself has died, until it asks again.
    """

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine, self._name = machine, name
        self._kept = 0

    def crashed(self) -> None:
        """Called just before one that answers ends."""
        self._kept = max(0, min(self._kept, len(self._machine.answering(self._name))) - 1)

    def hung(self) -> None:
        """As if it had ended; but while pinned ports change hands it is believed to serve."""
        self.crashed()
        if self._is_pinned():
            self._kept = 0

    def asked(self) -> None:
        if not (self._is_pinned() and self._some_hang_unnoticed()):
            self._kept = max(self._kept, self._ready())

    def said(self) -> None:
        """The operator wants something else. What a rollout was draining just then goes on to."""
        if self._name in self._machine.file:
            self._kept = min(self._kept, self._ready())
        else:
            ready = self._ready_ones()
            stay = [p for p in self._machine.answering(self._name) if p.instance in ready]
            self._kept = min(self._kept, len(stay))

    def check(self) -> None:
        if not self._holds():
            self._kept = 0
            return
        app, least = self._machine.file.get(self._name), self._kept
        if app and self._is_pinned():
            least = max(min(least, 1), least - app.batch)
        answering = len(self._machine.answering(self._name))
        assert answering >= least, f"{self._name}: {answering} answer, of {self._kept} promised"

    def _holds(self) -> bool:
        record = self._machine.records.get(self._name)
        named = self._name in self._machine.peers
        return named and record is not None and not (record.stopped or record.abrupt)

    def _is_pinned(self) -> bool:
        app = self._machine.file.get(self._name)
        ports = [i.port for i in self._machine.of(self._name)]
        return bool(app and app.port) or any(port < FIRST_FREE_PORT for port in ports)

    def _some_hang_unnoticed(self) -> bool:
        running = map(self._machine.processes.get, self._ready_ones())
        return any(process.hung for process in running if process)

    def _ready(self) -> int:
        """Peers of nginx that are ready and stay, in wanted slots; one, if only others are.

        One that hangs and was not found out yet is believed to stay, and promises nothing.
        """
        app, ready = self._machine.file.get(self._name), self._ready_ones()
        if not app or not self._holds():
            return 0
        down = {int(number) for number, slot in app.slots.items() if slot.down}
        wanted = set(range(1, app.instances + 1)) - down
        known = [p for p in self._machine.peers[self._name] if p.slot not in down]
        believed = {peer.slot for peer in known if peer.instance in ready}
        slots = believed & {peer.slot for peer in self._machine.answering(self._name)}
        if believed & wanted:
            return len(slots & wanted)
        return min(1, len(slots)) if wanted else 0

    def _ready_ones(self) -> set[str]:
        return {i.id for i in self._machine.in_state(S.READY, self._name)}
