"""An address that keepalived moves between three machines: `python -m bench.keepalived`.

Debian's keepalived runs in each network namespace, with what `portico cluster keepalived` writes.
Prints how long the address gave no answer when its machine was cut off and when that came
back, and when the address moved because the machine was drained. Root only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Final

from tests.cluster import SITE, Machine, Machines
from tests.stack import BIN, PROGRAMS
from tests.waiting import eventually

ADDRESS: Final = "10.0.0.100"
APPS: Final = f"""
[apps.web]
command = ["node", "{PROGRAMS}/echo.js"]
[sites."{SITE}"]
app = "web"
https = false
"""
MAX_AWAY: Final = 5.0
"""Seconds without an answer."""
ASK_TIMEOUT: Final = 0.1
SETTLED: Final = 20
"""Answers in a row after which an address has moved."""


def main() -> int:
    if not shutil.which("keepalived"):
        print("apt install keepalived", file=sys.stderr)
        return 2
    with Machines("m1", "m2", "m3") as machines:
        for machine in machines:  # as a load balancer would, keepalived asks on all addresses
            machine.up(machines.text(APPS), bind=["0.0.0.0"])
        with keepalived(machines):
            eventually(lambda: holder(machines) == "m1")
            result = dict(failovers(machines))
    print(json.dumps(result, indent=2))
    return 0 if max(result.values()) <= MAX_AWAY else 1


def failovers(machines: Machines) -> Iterator[tuple[str, float]]:
    machines.cut("m1")
    yield "cut off, s", time_away(machines)
    machines.mend("m1")
    yield "back in the network, s", time_away(machines)
    eventually(lambda: holder(machines) == "m1")
    one = machines["m1"]
    begun = time.monotonic()
    with subprocess.Popen(
        [*one.network.words, BIN / "portico", "cluster", "drain"], env=one.environ
    ):
        eventually(lambda: holder(machines) == "m2", every=0.01)
        yield "moved after its check began to fail, s", round(time.monotonic() - begun, 2)
    one.done("cluster", "undrain")
    yield "back after its check passes, s", time_away(machines)


@contextmanager
def keepalived(machines: Machines) -> Iterator[None]:
    started = []
    try:
        for machine in machines:
            conf = machine.folder / "keepalived.conf"
            conf.write_text(machine.done("cluster", "keepalived", f"{ADDRESS}/24").stdout)
            files = ["--pid", conf.with_suffix(".pid"), "--vrrp_pid", conf.with_suffix(".vrrp")]
            words = ["keepalived", "--dont-fork", "--log-console", "--use-file", conf, *files]
            started.append(subprocess.Popen([*machine.network.words, *words]))
        yield
    finally:
        for each in started:
            each.terminate()
            each.wait(60)


def holder(machines: Machines) -> str:
    """Which machine answers at the address, empty for none or several."""
    found = [each.name for each in machines if has_address(each)]
    return found[0] if len(found) == 1 else ""


def has_address(machine: Machine) -> bool:
    words = [*machine.network.words, "ip", "-o", "addr", "show", "to", ADDRESS]
    return bool(subprocess.run(words, capture_output=True, check=True).stdout)


def time_away(machines: Machines) -> float:
    """Seconds from now to the last question that got no answer."""
    begun, last, row = time.monotonic(), 0.0, 0
    with machines.client.entered():
        while row < SETTLED or time.monotonic() - begun < MAX_AWAY:
            row = row + 1 if answers() else 0
            last = last if row else time.monotonic() - begun
            time.sleep(0.02)
    return round(last, 2)


def answers() -> bool:
    connection = HTTPConnection(ADDRESS, timeout=ASK_TIMEOUT)
    try:
        connection.request("GET", "/", headers={"Host": SITE})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
