"""What a cluster costs porticod in memory: `python -m bench.cluster_memory [SECONDS]`.

The same app runs on a machine alone, and on three machines that share an etcd of three members, as
the quick start of docs/cluster.md has it, with TLS. Counted is the private memory of each daemon
(RssAnon of proc(5)), 60 seconds after all have been started. Root only; prints JSON, and fails
where the budget is exceeded.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.quick_start_etcd import quick_start_etcd
from tests.cluster import Machines
from tests.integration.test_cluster_neighbours import APP, SITES, all_reach_all
from tests.stack import Stack

SETTLING: Final = 60.0
MAX_MORE_MB: Final = 5.0


def main(seconds: float) -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack() as alone,
        Machines("m1", "m2", "m3") as machines,
        quick_start_etcd(machines, Path(folder) / "etcd"),
    ):
        alone.up(APP + SITES)
        machines.up(APP + SITES, shared=True)
        for each in (alone, *machines):  # those of tests are forked, and share memory
            each.done("upgrade", "--daemon")
        all_reach_all(machines)
        time.sleep(seconds)
        own, shared = _private_mb(alone), [_private_mb(each) for each in machines]
    result = {
        "alone, MB": round(own, 1),
        "in a cluster, MB": [round(each, 1) for each in shared],
        "more, MB": round(max(shared) - own, 1),
    }
    print(json.dumps(result, indent=2))
    return 0 if max(shared) - own <= MAX_MORE_MB else 1


def _private_mb(stack: Stack) -> float:
    text = Path(f"/proc/{stack.status()['daemon']['pid']}/status").read_text()
    [line] = [each for each in text.splitlines() if each.startswith("RssAnon:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else SETTLING))
