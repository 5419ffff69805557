"""Changes of three machines under load while parts are killed: `python -m bench.shared_changes
[INSTANCES]`, default 30 of an app on each machine.

Each row kills something at one step of an `up`: a daemon while it checks or has the turn, or the
leader of etcd. The last one is a version that cannot start. Prints whether each change was done
everywhere, or taken back, and what was lost. Root only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.cluster import Machines
from tests.integration.test_shared_changes import STEADY, Shared, are_others
from tests.stack import eventually

NAMES: Final = ("m1", "m2", "m3")
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
    for name in NAMES:
        yield _changed(
            shared,
            f"porticod of {name} while it has the turn",
            lambda name=name: _kill_daemon(shared, name, "changing"),
        )
    yield _changed(
        shared,
        "porticod of m3 when it has checked the change",
        lambda: _kill_daemon(shared, "m3", "ready"),
    )
    yield _changed(
        shared, "the leader of etcd while m2 has the turn", lambda: _kill_leader(shared)
    )
    yield _failing(shared)
    yield _dying(shared)


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
    return {"killed": what, "as wanted": is_done, "sent": report.requests, "failed": report.failed}


def _failing(shared: Shared) -> Row:
    before = shared.pids()
    shared.write(CRASH="1")
    with shared.machines.load("m1", **STEADY | {"seconds": CHANGE_TIMEOUT}) as load:
        result = shared.machines["m1"].portico("up")
        report = load.stop()
    after = shared.pids()
    untouched = all(after[name] == before[name] for name in NAMES[1:])
    is_back = "the file before is in force again on m1" in result.stderr
    return {
        "killed": "nothing; the version cannot start",
        "as wanted": untouched and is_back,
        "sent": report.requests,
        "failed": report.failed,
    }


def _dying(shared: Shared) -> Row:
    """A machine is gone in its turn: the others take the change back, and it follows them."""
    before = shared.pids()
    shared.write(SAY="m2 dies")
    with shared.machines.load("m1", **STEADY | {"seconds": CHANGE_TIMEOUT}) as load:
        command = threading.Thread(target=shared.machines["m1"].portico, args=("up",))
        command.start()
        _wait_for_new_state(shared, "m2", "changing")
        shared.machines.die("m2")
        command.join()
        report = load.stop()
    states = {name: shared.state_of(name) for name in NAMES}
    untouched = shared.pids_of("m3") == before["m3"]
    shared.machines.mend("m2")
    shared.machines["m2"].begin()
    eventually(lambda: shared.state_of("m2") == "back", CHANGE_TIMEOUT)
    return {
        "killed": "m2 while it has the turn",
        "as wanted": states == {"m1": "back", "m2": "changing", "m3": "ready"} and untouched,
        "sent": report.requests,
        "failed": report.failed,
    }


def _kill_daemon(shared: Shared, name: str, state: str) -> None:
    _wait_for_new_state(shared, name, state)
    shared.machines[name].kill_daemon()
    shared.machines[name].begin()


def _kill_leader(shared: Shared) -> None:
    _wait_for_new_state(shared, "m2", "changing")
    shared.store.leader().kill()
    shared.store.start()


def _wait_for_new_state(shared: Shared, name: str, state: str) -> None:
    eventually(lambda: shared.state_of(name) == state, CHANGE_TIMEOUT, 0.02)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
