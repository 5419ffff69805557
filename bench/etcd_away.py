"""All members of etcd are dead for a while: `python -m bench.etcd_away [SECONDS]`, default 600.

Two machines serve requests that cross; instances are killed meanwhile. Prints
what was lost, how long a refusal took, and when both machines were current again. Root only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.cluster import SITE, Machines
from tests.integration.test_shared_store import APPS, STEADY, Shared
from tests.stack import eventually

MAX_REFUSAL, MAX_LATENESS = 3.0, 35.0
INSTANCES: Final = 2
CRASHES: Final = 3


def main(seconds: float) -> int:
    apps = APPS.replace("instances = 1", f"instances = {INSTANCES}")
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines("m1", "m2") as machines,
        machines.sharing(Path(folder) / "etcd", 3) as store,
    ):
        machines.up(apps, shared=True)
        shared = Shared(machines, store)
        shared.change()
        eventually(shared.is_current)
        eventually(lambda: machines["m1"].get(SITE, "/jobs").status == 200)
        work = STEADY | {"seconds": min(900.0, seconds + 120.0)}
        with machines.load("m1", path="/jobs", **work) as load:
            result = _without_etcd(shared, seconds) | {"failed": load.stop().failed}
    print(json.dumps(result, indent=2))
    is_well = (
        not result["failed"]
        and result["refusal, s"] <= MAX_REFUSAL
        and result["current after, s"] <= MAX_LATENESS
    )
    return 0 if is_well else 1


def _without_etcd(shared: Shared, seconds: float) -> dict[str, float]:
    shared.store.kill()
    eventually(lambda: shared.is_trouble("Connect"))
    end = time.monotonic() + seconds
    for _ in range(CRASHES):
        _crash_one(shared)
        time.sleep(seconds / CRASHES / 2)
    before = time.monotonic()
    shared.is_refused()
    refusal = time.monotonic() - before
    time.sleep(max(0.0, end - time.monotonic()))
    shared.store.start()
    begun = time.monotonic()
    shared.change()
    eventually(shared.is_current)
    return {
        "without etcd, s": seconds,
        "refusal, s": round(refusal, 2),
        "current after, s": round(time.monotonic() - begun, 2),
    }


def _crash_one(shared: Shared) -> None:
    """An instance of the app that requests do not cross for, and wait until another one is ready:
    of what was under way on it something may be lost.
    """
    machine = shared.machines["m1"]
    [one, *_] = machine.instances("web")
    os.kill(one["pid"], signal.SIGKILL)
    eventually(
        lambda: (
            [each["state"] for each in machine.instances("web")] == ["ready"] * INSTANCES
            and one["pid"] not in {each["pid"] for each in machine.instances("web")}
        )
    )


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0))
