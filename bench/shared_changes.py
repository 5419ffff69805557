"""Changes of three machines under load while parts are killed: `python -m bench.shared_changes
[INSTANCES] [ROW…]`, default 30 of an app on each machine, and all rows. ROW is a part of the names
of those that are wanted, as `porticod of m2`.

Each row kills something at one step of an `up`: the daemon of each machine, or the leader of etcd,
when that machine has checked the change, while it has the turn, and when it has made it; or a
whole machine before its turn or in it; or a machine is cut off from the others and etcd, before a
change and in its turn. One is a version that cannot start. Prints whether each change was done
everywhere, or taken back, and what was lost. Root only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from portico.core.model.shared import HEADS
from portico.engine.cluster.session import DURATION
from tests.cluster import Machine, Machines
from tests.integration.test_shared_changes import STEADY, Shared, are_others
from tests.load import Report
from tests.stack import eventually

NAMES: Final = ("m1", "m2", "m3")
STEPS: Final = ("ready", "changing", "done")
CHANGE_TIMEOUT: Final = 900.0
WORK: Final = STEADY | {"seconds": CHANGE_TIMEOUT}
Row = dict[str, object]


def main(instances: int, wanted: Sequence[str]) -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines(*NAMES) as machines,
        machines.sharing(Path(folder) / "etcd", 3) as store,
    ):
        shared = Shared(machines, store, instances)
        machines.up(shared.file(), shared=True)
        rows = [
            _row(shared, name, change)
            for name, change in _rows(shared).items()
            if any(part in name for part in wanted)
        ]
    print(json.dumps(rows, indent=2))
    return 0 if rows and all(row["as wanted"] and not row["failed"] for row in rows) else 1


def _rows(shared: Shared) -> dict[str, Callable[[str], Row]]:
    """By what is killed."""
    rows = {"nothing": partial(_changed, shared, lambda: None)}
    for name, step in product(NAMES, STEPS):
        kill = partial(_kill_daemon, shared, name, step)
        rows[f"porticod of {name}, which is {step}"] = partial(_changed, shared, kill)
    for name, step in product(NAMES, STEPS):
        kill = partial(_kill_leader, shared, name, step)
        rows[f"the leader of etcd while {name} is {step}"] = partial(_changed, shared, kill)
    return {
        **rows,
        "nothing; the version cannot start": partial(_failing, shared),
        **{f"{name} while it has the turn": partial(_dying, shared, name) for name in NAMES[1:]},
        "all of m1, which is ready": partial(_dying_first, shared),
        "the way of m3 to m1, m2 and etcd": partial(_divided, shared),
        "the way of m2 to m1, m3 and etcd in its turn": partial(_fenced, shared),
    }


def _row(shared: Shared, what: str, change: Callable[[str], Row]) -> Row:
    for machine in shared.machines:
        eventually(partial(_is_whole, machine, shared.instances), CHANGE_TIMEOUT)
    row = {"killed": what} | change(what)
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _is_whole(machine: Machine, instances: int) -> bool:
    """Whether it is connected to the others, and nothing of an earlier row is under way."""
    states = [each["state"] for each in machine.instances("web")]
    return machine.sees(len(NAMES)) and states == ["ready"] * instances


def _changed(shared: Shared, kill: Callable[[], None], what: str) -> Row:
    """An `up` that is to be done on all machines."""
    before, since = shared.pids(), shared.store.revision()
    shared.write(SAY=what)
    with shared.machines.load("m1", **WORK) as load:
        command = _begin_change(shared)
        kill()
        command.join()
        eventually(lambda: all(shared.state_of(name) == "done" for name in NAMES), CHANGE_TIMEOUT)
        report = load.stop()
    is_in_turns = shared.holders(since) == [*NAMES]
    return _counted(report, is_as_wanted=is_in_turns and are_others(before, shared.pids()))


def _failing(shared: Shared, what: str) -> Row:
    before = shared.pids()
    shared.write(CRASH="1", SAY=what)
    with shared.machines.load("m1", **WORK) as load:
        result = shared.machines["m1"].portico("up", seconds=CHANGE_TIMEOUT)
        report = load.stop()
    after = shared.pids()
    untouched = all(after[name] == before[name] for name in NAMES[1:])
    is_back = "the file before is in force again on m1" in result.stderr
    return _counted(report, is_as_wanted=untouched and is_back)


def _dying(shared: Shared, name: str, what: str) -> Row:
    """A machine is gone in its turn: the others take the change back, and it follows them."""
    before = shared.pids()
    shared.write(SAY=what)
    before_it, after_it = NAMES[: NAMES.index(name)], NAMES[NAMES.index(name) + 1 :]
    with shared.machines.load("m1", **WORK) as load:
        command = _begin_change(shared)
        _wait_for_step(shared, name, "changing")
        shared.machines.die(name)
        command.join()
        eventually(lambda: all(shared.state_of(n) == "back" for n in before_it), CHANGE_TIMEOUT)
        report = load.stop()
    untouched = all(
        shared.state_of(each) == "ready" and shared.pids_of(each) == before[each]
        for each in after_it
    )
    shared.machines.mend(name)
    shared.machines[name].begin()
    eventually(lambda: shared.state_of(name) == "back", CHANGE_TIMEOUT)
    return _counted(report, is_as_wanted=untouched)


def _dying_first(shared: Shared, what: str) -> Row:
    """m1, which is to change first, is gone when it has checked the change: the others refuse it,
    or it is taken back on m1 alone.
    """
    before, in_force = shared.pids(), _in_force(shared)
    shared.write(SAY=what)
    one, two, _ = shared.machines
    with shared.machines.load("m2", **WORK) as load, one.running("up"):
        _wait_for_step(shared, "m1", "ready")
        shared.machines.die("m1")
        step = shared.state_of("m1")
        eventually(lambda: not two.api("/v1/cluster")["change"], CHANGE_TIMEOUT)
        report = load.stop()
    is_kept = all(shared.pids_of(name) == before[name] for name in NAMES[1:])
    shared.machines.mend("m1")
    one.begin()
    last = "ready" if step == "ready" else "back"
    eventually(lambda: _is_whole(one, shared.instances) and shared.state_of("m1") == last, 300.0)
    is_as_wanted = is_kept and _in_force(shared) == in_force
    return _counted(report, is_as_wanted=is_as_wanted) | {"was then": step}


def _in_force(shared: Shared) -> str:
    """Of the store."""
    return shared.store.ctl("get", "--prefix", shared.machines.key(HEADS))


def _divided(shared: Shared, what: str) -> Row:
    """Both sides of a divided network serve; m3 changes nothing until it is one again."""
    one, three = shared.machines["m1"], shared.machines["m3"]
    up = partial(one.portico, "up", "--without-absent", seconds=CHANGE_TIMEOUT)
    before = shared.pids()
    shared.write(SAY=what)
    with shared.machines.load("m1", **WORK) as here, shared.machines.load("m3", **WORK) as there:
        shared.machines.divide("m3")
        is_refused = three.portico("reload", "web").returncode != 0
        eventually(lambda: up().returncode == 0, CHANGE_TIMEOUT)
        is_kept = shared.pids_of("m3") == before["m3"]
        shared.machines.reunite("m3")
        eventually(lambda: are_others(before, shared.pids()), CHANGE_TIMEOUT)
        reports = here.stop(), there.stop()
    return _counted(*reports, is_as_wanted=is_refused and is_kept)


def _fenced(shared: Shared, what: str) -> Row:
    """m2 is cut off from the others and etcd in its turn: it stops before m1 takes it back."""
    before, last, seen = shared.pids(), 0.0, set[int]()
    shared.write(SAY=what)
    with shared.machines.load("m2", **WORK) as load:
        command = _begin_change(shared)
        _wait_for_step(shared, "m2", "changing")
        shared.machines.divide("m2")
        divided = time.monotonic()
        while command.is_alive():
            if new := shared.pids_of("m2") - before["m2"] - seen:
                seen, last = seen | new, time.monotonic() - divided
            time.sleep(0.2)
        is_between = bool(seen) and bool(shared.pids_of("m2") & before["m2"])
        shared.machines.reunite("m2")
        eventually(lambda: shared.state_of("m2") == "back", CHANGE_TIMEOUT)
        report = load.stop()
    is_as_wanted = is_between and last < DURATION and shared.state_of("m1") == "back"
    return _counted(report, is_as_wanted=is_as_wanted) | {"stopped after": round(last, 1)}


def _begin_change(shared: Shared) -> threading.Thread:
    up = partial(shared.machines["m1"].portico, "up", seconds=CHANGE_TIMEOUT)
    command = threading.Thread(target=up)
    command.start()
    return command


def _counted(*reports: Report, is_as_wanted: bool) -> Row:
    failed = sum((report.failed for report in reports), Counter[str]())
    sent = [report.requests for report in reports]
    return {"as wanted": is_as_wanted, "sent": sent, "failed": failed}


def _kill_daemon(shared: Shared, name: str, step: str) -> None:
    _wait_for_step(shared, name, step)
    shared.machines[name].kill_daemon()
    shared.machines[name].begin()


def _kill_leader(shared: Shared, name: str, step: str) -> None:
    _wait_for_step(shared, name, step)
    shared.store.leader().kill()
    shared.store.start()


def _wait_for_step(shared: Shared, name: str, step: str) -> None:
    """Of the change that has just begun; of the one before all were done, or back."""
    steps = ("changing", "done") if step == "done" else (step,)
    for each in steps:
        eventually(lambda each=each: shared.state_of(name) == each, CHANGE_TIMEOUT, 0.02)


if __name__ == "__main__":
    words = sys.argv[1:]
    number = int(words.pop(0)) if words and words[0].isdecimal() else 30
    sys.exit(main(number, words or [""]))
