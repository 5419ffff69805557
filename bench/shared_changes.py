"""Changes of three machines under load while parts are killed: `python -m bench.shared_changes
[INSTANCES] [ROW…]`, default 30 of an app on each machine, and all rows. ROW is a part of the names
of those that are wanted, as `porticod of m2`.

Each row kills something at one step of an `up`: the daemon of each machine, or the leader of etcd,
when that machine has checked the change, while it has the turn, and when it has made it; or the
whole machine at these steps, and while it takes the change back; or a machine is cut off from the
others and etcd, before a change and in its turn. One is a version that cannot start. In the last
rows etcd is that of the quick start, and a machine dies with its member. Prints whether each
change was done everywhere, or taken back, and what was lost. Root only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from bench.quick_start_etcd import etcd_of_machines
from portico.core.model.shared import (
    CHANGE_KEY,
    HEADS,
    TURN_KEY,
    Holder,
    decode,
    progress_key,
)
from portico.core.model.shared_change import Progress, SharedChange
from portico.engine.cluster.session import DURATION
from tests.cluster import Machine, Machines
from tests.etcd import Etcd
from tests.integration.test_shared_changes import CRASH_FILE, STEADY, Shared, are_others
from tests.load import Report
from tests.running_load import RunningLoad
from tests.waiting import eventually

NAMES: Final = ("m1", "m2", "m3")
STEPS: Final = ("ready", "changing", "done")
CHANGE_TIMEOUT: Final = 900.0
WORK: Final = STEADY | {"seconds": CHANGE_TIMEOUT}
MAY_LISTEN: Final = "may-listen"
"""Instances of a version wait for this file in the log folder."""
Row = dict[str, object]
Change = Callable[[Shared, str], Row]
"""Given what is new in the version."""


def main(instances: int, wanted: Sequence[str]) -> int:
    kinds = ((_plain_etcd, _rows()), (etcd_of_machines, _rows_with_members()))
    rows = list[Row]()
    for etcd, changes in kinds:
        if found := {n: each for n, each in changes.items() if any(part in n for part in wanted)}:
            rows += _made(etcd, found, instances)
    print(json.dumps(rows, indent=2))
    return 0 if rows and all(row["as wanted"] and not row["failed"] for row in rows) else 1


def _made(
    etcd: Callable[[Machines, Path], AbstractContextManager[Etcd]],
    changes: Mapping[str, Change],
    instances: int,
) -> list[Row]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines(*NAMES) as machines,
        etcd(machines, Path(folder) / "etcd") as store,
    ):
        shared = Shared(machines, store, instances)
        machines.up(shared.file(), shared=True)
        return [_row(shared, name, change) for name, change in changes.items()]


def _plain_etcd(machines: Machines, folder: Path) -> AbstractContextManager[Etcd]:
    """Its members are in one network, which is that of no machine."""
    return machines.sharing(folder, 3)


def _rows() -> dict[str, Change]:
    """By what is killed."""
    rows: dict[str, Change] = {"nothing": partial(_changed, lambda _: None)}
    for name, step in product(NAMES, STEPS):
        kill = partial(_kill_daemon, name, step)
        rows[f"porticod of {name}, which is {step}"] = partial(_changed, kill)
    for name, step in product(NAMES, STEPS):
        kill = partial(_kill_leader, name, step)
        rows[f"the leader of etcd while {name} is {step}"] = partial(_changed, kill)
    return {
        **rows,
        "nothing; the version cannot start": _failing,
        **{
            f"all of {name}, which is {step}": partial(_dying, name, step)
            for name, step in product(NAMES, STEPS)
        },
        **{f"all of {name}, which takes it back": partial(_dying_again, name) for name in NAMES},
        "the way of m3 to m1, m2 and etcd": _divided,
        "the way of m2 to m1, m3 and etcd in its turn": _fenced,
    }


def _rows_with_members() -> dict[str, Change]:
    """Each machine has a member."""
    rows: dict[str, Change] = {}
    for name, leads in product(NAMES, (False, True)):
        what = f"all of {name} with {'the leader' if leads else 'a member'} of etcd"
        rows[f"{what}, at rest"] = partial(_absent, name, leads=leads)
        rows[f"{what}, in its turn"] = partial(_dying_with_member, name, leads=leads)
        rows[f"{what}, unnoticed"] = partial(_absent, name, leads=leads, is_noticed=False)
    return rows


def _row(shared: Shared, what: str, change: Change) -> Row:
    for machine in shared.machines:
        eventually(partial(_is_whole, machine, shared.instances), CHANGE_TIMEOUT)
    row = {"killed": what} | change(shared, what)
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _is_whole(machine: Machine, instances: int) -> bool:
    """Whether it is connected to the others, and nothing of an earlier row is under way."""
    states = [each["state"] for each in machine.instances("web")]
    return machine.sees(len(NAMES)) and states == ["ready"] * instances


def _changed(kill: Callable[[Shared], None], shared: Shared, what: str) -> Row:
    """An `up` that is to be done on all machines."""
    before, since = shared.pids(), shared.store.revision()
    shared.write(SAY=what)
    with shared.machines.load("m1", **WORK) as load:
        command = _begin_change(shared)
        kill(shared)
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
    is_back = "the previous file is in force again on m1" in result.stderr
    return _counted(report, is_as_wanted=untouched and is_back)


def _dying(name: str, step: str, shared: Shared, what: str) -> Row:
    """A machine is gone at a step of a change."""
    shared.write(SAY=what)
    return _without(shared, name, partial(_wait_for_step, shared, name, step))


def _dying_with_member(name: str, shared: Shared, what: str, *, leads: bool) -> Row:
    _place_leader(shared, name, leads=leads)
    return _dying(name, "changing", shared, what)


def _absent(name: str, shared: Shared, _: str, *, leads: bool, is_noticed: bool = True) -> Row:
    """A machine is gone at rest: a change is refused, also where nobody has noticed it yet, and is
    then made without it. The machine makes up for that.
    """
    _place_leader(shared, name, leads=leads)
    before, others = shared.pids(), _others(name)
    reload = partial(shared.machines[others[0]].portico, "reload", "web", seconds=CHANGE_TIMEOUT)
    with _loads(shared, others) as loads:
        _die(shared, name)
        if is_noticed:
            eventually(partial(shared.machines[others[0]].sees, len(others)), CHANGE_TIMEOUT)
        asked = time.monotonic()
        refused, seconds = reload(), time.monotonic() - asked
        is_refused = refused.returncode != 0
        is_refused &= all(shared.pids_of(each) == before[each] for each in others)
        is_made = reload("--without-absent").returncode == 0
        reports = [load.stop() for load in loads]
    _return(shared, name)
    eventually(lambda: are_others(before, shared.pids()), CHANGE_TIMEOUT)
    row = _counted(*reports, is_as_wanted=is_refused and is_made)
    return row | {"refused after": round(seconds, 1), "said": refused.stderr.splitlines()[-1]}


def _place_leader(shared: Shared, name: str, *, leads: bool) -> None:
    """On that machine, or on another one."""
    place = name if leads else _others(name)[-1]
    [member] = [each for each in shared.store.members if each.name == place]
    shared.store.lead(member)


def _dying_again(name: str, shared: Shared, what: str) -> Row:
    """A machine is gone while it takes back what failed on m3."""
    crash = shared.machines["m3"].home / "logs" / CRASH_FILE
    crash.touch()
    shared.write(SAY=what)

    def wait() -> None:
        _wait_for_step(shared, "m3", "failed")
        crash.unlink()
        eventually(lambda: _last_change(shared).end == "failed", CHANGE_TIMEOUT, 0.02)
        eventually(lambda: _holder(shared) == name, CHANGE_TIMEOUT, 0.02)

    return _without(shared, name, wait)


def _without(shared: Shared, name: str, wait: Callable[[], None]) -> Row:
    """The others take the change back, unless it was made there, and then it does as they did."""
    before, in_force, since = shared.pids(), _in_force(shared), shared.store.revision()
    others = _others(name)
    with _loads(shared, others) as loads:
        command = _begin_change(shared)
        wait()
        _die(shared, name)
        step, end = shared.state_of(name), _last_change(shared).end
        is_made = step == "done" and end != "failed"
        lasting = {"done"} if is_made else {"ready", "back"}
        command.join()
        eventually(partial(_has_ended, shared, others, lasting), CHANGE_TIMEOUT)
        reports = [load.stop() for load in loads]
    untouched = [each for each in others if shared.state_of(each) == "ready"]
    is_kept = all(shared.pids_of(each) == before[each] for each in untouched)
    _return(shared, name)
    eventually(partial(_has_ended, shared, NAMES, lasting), CHANGE_TIMEOUT)
    turns = shared.holders(since)
    is_as_wanted = is_kept and is_made == (_in_force(shared) != in_force)
    is_as_wanted &= turns == [*NAMES] if is_made else _are_taken_back(shared, turns)
    return _counted(*reports, is_as_wanted=is_as_wanted) | {"was then": step, "turns": turns}


def _others(name: str) -> list[str]:
    return [each for each in NAMES if each != name]


@contextmanager
def _loads(shared: Shared, names: Sequence[str]) -> Iterator[list[RunningLoad]]:
    """Through each of these machines."""
    with ExitStack() as stack:
        yield [stack.enter_context(shared.machines.load(name, **WORK)) for name in names]


def _die(shared: Shared, name: str) -> None:
    """The machine, with its member of etcd if it has one."""
    shared.machines.die(name)
    for member in shared.store.members:
        if member.name == name:
            member.kill()
    shared.store.wait_for_leader()


def _return(shared: Shared, name: str) -> None:
    shared.machines.mend(name)
    shared.store.start()
    shared.machines[name].begin()
    eventually(partial(_is_whole, shared.machines[name], shared.instances), CHANGE_TIMEOUT)


def _has_ended(shared: Shared, names: Sequence[str], lasting: set[str]) -> bool:
    is_last = all(shared.state_of(each) in lasting for each in names)
    return is_last and bool(_last_change(shared).end)


def _are_taken_back(shared: Shared, turns: list[str]) -> bool:
    """Whether those that made the change had the turn for it one after the other, and then those
    alone to take it back. The next one may have had it too, and done nothing.
    """
    made = [each for each in NAMES if shared.state_of(each) == "back"]
    number = len(made)
    return turns[:number] == made == [*NAMES[:number]] and {*turns} <= {*NAMES[: number + 1]}


def _last_change(shared: Shared) -> SharedChange:
    change = decode(SharedChange, shared.store.get(shared.machines.key(CHANGE_KEY)))
    assert change
    return change


def _holder(shared: Shared) -> str:
    """The machine that has the turn."""
    holder = decode(Holder, shared.store.get(shared.machines.key(TURN_KEY)))
    return holder.machine if holder else ""


def _in_force(shared: Shared) -> dict[str, bytes]:
    """Of the store."""
    prefix = shared.machines.key(HEADS)
    return {key: v for key, v in shared.store.values().items() if key.startswith(prefix)}


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
    """m2 is cut off from the others and etcd in its turn: it stops before m1 takes it back. There
    no instance listens before that, so that however few there are, some are of the version before.
    """
    before, seen = shared.pids(), list[float]()
    may_listen = {each.name: each.home / "logs" / MAY_LISTEN for each in shared.machines}
    may_listen["m1"].touch()
    may_listen["m3"].touch()
    shared.write(SAY=what, LISTEN_WHEN=MAY_LISTEN)
    with shared.machines.load("m2", **WORK) as load:
        command = _begin_change(shared)
        _wait_for_step(shared, "m2", "changing")
        shared.machines.divide("m2")
        divided = time.monotonic()
        known = before["m2"]
        while command.is_alive():
            after, found = time.monotonic() - divided, shared.pids_of("m2")
            seen += [after] * len(found - known)
            known = known | found
            if after > DURATION:
                may_listen["m2"].touch()
            time.sleep(0.2)
        is_between = bool(seen) and bool(shared.pids_of("m2") & before["m2"])
        shared.machines.reunite("m2")
        eventually(lambda: shared.state_of("m2") == "back", CHANGE_TIMEOUT)
        report = load.stop()
    last = max(seen, default=0.0)
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


def _kill_daemon(name: str, step: str, shared: Shared) -> None:
    _wait_for_step(shared, name, step)
    shared.machines[name].kill_daemon()
    shared.machines[name].begin()


def _kill_leader(name: str, step: str, shared: Shared) -> None:
    _wait_for_step(shared, name, step)
    shared.store.leader().kill()
    shared.store.start()


def _wait_for_step(shared: Shared, name: str, step: str) -> None:
    """Of the change that has just begun. It is not over before one machine has made it."""
    change = eventually(lambda: _under_way(shared), CHANGE_TIMEOUT, 0.02)
    eventually(lambda: _progress(shared, name) == (change, step), CHANGE_TIMEOUT, 0.02)


def _under_way(shared: Shared) -> str:
    """The id of the change that is."""
    change = _last_change(shared)
    return "" if change.end else change.id


def _progress(shared: Shared, name: str) -> tuple[str, str]:
    """With which change, and how far."""
    progress = decode(Progress, shared.store.get(shared.machines.key(progress_key(name))))
    return (progress.change, progress.state) if progress else ("", "")


if __name__ == "__main__":
    words = sys.argv[1:]
    number = int(words.pop(0)) if words and words[0].isdecimal() else 30
    sys.exit(main(number, words or [""]))
