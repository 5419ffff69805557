"""Changes of three machines under load while parts are killed: `python -m bench.shared_changes
[INSTANCES]`, default 30 of an app on each machine.

Each row kills something at one step of an `up`: the daemon of each machine, or the leader of etcd,
when that machine has checked the change, while it has the turn, and when it has made it; or a
whole machine in its turn; or a machine is cut off from the others and etcd, before a change and in
its turn. One is a version that cannot start. Prints whether each change was done
everywhere, or taken back, and what was lost. Root only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from portico.engine.cluster.session import DURATION
from tests.cluster import Machines
from tests.integration.test_shared_changes import STEADY, Shared, are_others
from tests.load import Report
from tests.stack import eventually

NAMES: Final = ("m1", "m2", "m3")
STEPS: Final = ("ready", "changing", "done")
CHANGE_TIMEOUT: Final = 900.0
Row = dict[str, object]


def main(instances: int) -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines(*NAMES) as machines,
        machines.sharing(Path(folder) / "etcd", 3) as store,
    ):
        shared = Shared(machines, store, instances)
        machines.up(shared.file(), shared=True)
        rows = list(_rows(shared))
    print(json.dumps(rows, indent=2))
    return 0 if all(row["as wanted"] and not row["failed"] for row in rows) else 1


def _rows(shared: Shared) -> Iterator[Row]:
    yield _changed(shared, "nothing is killed", lambda: None)
    for name, step in product(NAMES, STEPS):
        kill = partial(_kill_daemon, shared, name, step)
        yield _changed(shared, f"porticod of {name}, which is {step}", kill)
    for name, step in product(NAMES, STEPS):
        kill = partial(_kill_leader, shared, name, step)
        yield _changed(shared, f"the leader of etcd while {name} is {step}", kill)
    yield _failing(shared)
    for name in NAMES[1:]:
        yield _dying(shared, name)
    yield from _divided(shared)
    yield _fenced(shared)


def _changed(shared: Shared, what: str, kill: Callable[[], None]) -> Row:
    """An `up` that is to be done on all machines."""
    before = shared.pids()
    shared.write(SAY=what)
    with shared.machines.load("m1", **STEADY | {"seconds": CHANGE_TIMEOUT}) as load:
        command = threading.Thread(target=shared.machines["m1"].portico, args=("up",))
        command.start()
        kill()
        command.join()
        eventually(lambda: all(shared.state_of(name) == "done" for name in NAMES), CHANGE_TIMEOUT)
        report = load.stop()
    is_done = are_others(before, shared.pids())
    return _row(what, report, is_as_wanted=is_done)


def _failing(shared: Shared) -> Row:
    before = shared.pids()
    shared.write(CRASH="1")
    with shared.machines.load("m1", **STEADY | {"seconds": CHANGE_TIMEOUT}) as load:
        result = shared.machines["m1"].portico("up")
        report = load.stop()
    after = shared.pids()
    untouched = all(after[name] == before[name] for name in NAMES[1:])
    is_back = "the file before is in force again on m1" in result.stderr
    return _row("nothing; the version cannot start", report, is_as_wanted=untouched and is_back)


def _dying(shared: Shared, name: str) -> Row:
    """A machine is gone in its turn: the others take the change back, and it follows them."""
    before = shared.pids()
    shared.write(SAY=f"{name} dies")
    with shared.machines.load("m1", **STEADY | {"seconds": CHANGE_TIMEOUT}) as load:
        command = threading.Thread(target=shared.machines["m1"].portico, args=("up",))
        command.start()
        _wait_for_step(shared, name, "changing")
        shared.machines.die(name)
        command.join()
        report = load.stop()
    before_it, after_it = NAMES[: NAMES.index(name)], NAMES[NAMES.index(name) + 1 :]
    wanted = {**dict.fromkeys(before_it, "back"), **dict.fromkeys(after_it, "ready")}
    states = {each: shared.state_of(each) for each in wanted}
    untouched = all(shared.pids_of(each) == before[each] for each in after_it)
    shared.machines.mend(name)
    shared.machines[name].begin()
    eventually(lambda: shared.state_of(name) == "back", CHANGE_TIMEOUT)
    is_as_wanted = states == wanted and untouched
    return _row(f"{name} while it has the turn", report, is_as_wanted=is_as_wanted)


def _divided(shared: Shared) -> Iterator[Row]:
    """Both sides of a divided network serve; m3 changes nothing until it is one again."""
    one, three = shared.machines["m1"], shared.machines["m3"]
    before, work = shared.pids(), STEADY | {"seconds": CHANGE_TIMEOUT}
    shared.write(SAY="divided")
    with (
        shared.machines.load("m1", **work) as here,
        shared.machines.load("m3", **work) as there,
    ):
        shared.machines.divide("m3")
        is_refused = three.portico("reload", "web").returncode != 0
        eventually(lambda: one.portico("up", "--without-absent").returncode == 0, CHANGE_TIMEOUT)
        is_kept = shared.pids_of("m3") == before["m3"]
        shared.machines.reunite("m3")
        eventually(lambda: are_others(before, shared.pids()), CHANGE_TIMEOUT)
        reports = here.stop(), there.stop()
    for name, report in zip(("m1, m2", "m3"), reports, strict=True):
        what = f"the way of m3 to m1, m2 and etcd, asked at {name}"
        yield _row(what, report, is_as_wanted=is_refused and is_kept)


def _fenced(shared: Shared) -> Row:
    """m2 is cut off from the others and etcd in its turn: it stops before m1 takes it back."""
    before, last, seen = shared.pids(), 0.0, set[int]()
    shared.write(SAY="fenced")
    with shared.machines.load("m2", **STEADY | {"seconds": CHANGE_TIMEOUT}) as load:
        command = threading.Thread(target=shared.machines["m1"].portico, args=("up",))
        command.start()
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
    what = f"the way of m2 to m1, m3 and etcd in its turn; it stopped {last:.1f} s later"
    return _row(what, report, is_as_wanted=is_as_wanted)


def _row(what: str, report: Report, *, is_as_wanted: bool) -> Row:
    row: Row = {
        "killed": what,
        "as wanted": is_as_wanted,
        "sent": report.requests,
        "failed": report.failed,
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


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
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
