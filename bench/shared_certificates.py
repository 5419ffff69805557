"""One order for three machines, and the machine that orders is killed after each of its steps:
`python -m bench.shared_certificates [ROW…]`. ROW is a part of the names of the rows that are
wanted, as `porticod after stored`; default all.

Pebble reaches a machine drawn by chance. Each row renews the certificate, and kills the whole
machine that orders, or its porticod, which is started again at once. Prints how many orders and
certificates the authority
and the ledger have counted, and whether all machines serve the new one. Root only.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Final

from portico.core.model.shared import LEDGER
from tests.integration.test_cluster_certificates import (
    FILE,
    NAMES,
    SITE,
    Cluster,
    running_cluster,
)
from tests.waiting import eventually

ROW_TIMEOUT: Final = 300.0
LIMIT: Final = "5/7d", "500/7d"
Row = dict[str, object]


class Steps:
    """What an order has led to, in order; names as in tests/fakes/certificates_shared.py."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._issuer = cluster, cluster.issuer()
        self._lines, self._orders = self._ledger(), cluster.orders()
        self._validated, self._issued = self._valid(), len(cluster.issued())
        self._stored, self._shared = self._generation(), cluster.shared(f"current/{SITE}")
        self._served = cluster.served(self._issuer)
        self.all: dict[str, Callable[[], bool]] = {
            "begun": lambda: self._ledger() > self._lines,
            "key": lambda: cluster.written(f"orders/{SITE}") > 0,
            "sent": lambda: cluster.orders() > self._orders,
            "known": lambda: cluster.written(f"orders/{SITE}") > 1,
            "validated": lambda: self._valid() > self._validated,
            "signed": lambda: len(cluster.issued()) > self._issued,
            "stored": lambda: self._generation() > self._stored,
            "shared": lambda: cluster.shared(f"current/{SITE}") != self._shared,
            "served": lambda: cluster.served(self._issuer) not in (self._served, set()),
        }

    @property
    def issuer(self) -> str:
        return self._issuer

    def wait_for(self, step: str) -> None:
        eventually(self.all[step], ROW_TIMEOUT, 0.005)

    def _ledger(self) -> int:
        key = self._cluster.machines.key(LEDGER)
        return len(self._cluster.etcd.ctl("get", "--prefix", "--keys-only", key).split())

    def _valid(self) -> int:
        return self._cluster.authority.log.count("set VALID by completed challenge")

    def _generation(self) -> int:
        home = Path(self._cluster.machines[self._issuer].home)
        folders = (home / "certificates" / "lineages" / SITE).iterdir()
        return max(int(each.name) for each in folders if each.name.isdecimal())


def main(wanted: Sequence[str]) -> int:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as cluster:
        rows = list(_rows(cluster, chance, wanted))
    print(json.dumps({"seed": seed, "rows": rows}, indent=2))
    right = {"orders": 1, "certificates": 1, "counted": 1, "served by all": True}
    return 0 if rows and all(row.items() >= right.items() for row in rows) else 1


def _rows(cluster: Cluster, chance: random.Random, wanted: Sequence[str]) -> Iterator[Row]:
    cluster.answer_by(chance.choice(NAMES))
    file = FILE.format(authority=cluster.authority)
    cluster.machines.up(file.replace(*LIMIT), shared=True)
    eventually(lambda: cluster.served(*NAMES), ROW_TIMEOUT)
    for what, step in product(("machine", "porticod"), Steps(cluster).all):
        if any(part in f"{what} after {step}" for part in wanted):
            yield _row(cluster, chance, step, what)


def _row(cluster: Cluster, chance: random.Random, step: str, what: str) -> Row:
    machines, steps = cluster.machines, Steps(cluster)
    issuer = steps.issuer
    left = [name for name in NAMES if name != issuer] if what == "machine" else NAMES
    answering = chance.choice(left)
    cluster.answer_by(answering)
    [before], orders, used = cluster.served(*NAMES), cluster.orders(), _used(cluster)
    certificates = len(cluster.issued())
    with machines[issuer].running("certs", "renew", SITE, "--force"):
        steps.wait_for(step)
        if what == "machine":
            machines.die(issuer)
        else:
            machines[issuer].kill_daemon()
    reached = [name for name, is_reached in steps.all.items() if name != "served" and is_reached()]
    if what == "porticod":
        machines[issuer].begin()
    eventually(lambda: cluster.served(*left) - {before}, ROW_TIMEOUT)
    if what == "machine":
        machines.mend(issuer)
        machines[issuer].begin()
    is_served = False
    with suppress(AssertionError):
        is_served = bool(eventually(lambda: cluster.served(*NAMES) - {before}, ROW_TIMEOUT))
    eventually(lambda: all(machine.sees(len(NAMES)) for machine in machines), ROW_TIMEOUT)
    row: Row = {
        "killed": f"{what} of {issuer}" if what != "machine" else issuer,
        "after": step,
        "reached by then": reached[-1],
        "answered by": answering,
        "orders": cluster.orders() - orders,
        "certificates": len(cluster.issued()) - certificates,
        "counted": _used(cluster) - used,
        "served by all": is_served,
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _used(cluster: Cluster) -> int:
    """Certificates for these names in the ledgers, once all machines agree."""

    def agreed() -> set[int]:
        found = set()
        for machine in cluster.machines:
            [view] = [v for v in machine.api("/v1/certificates") if v["name"] == SITE]
            found |= {use["used"] for use in view["ledger"] if use["limit"] == "same names"}
        return found if len(found) == 1 else set()

    [used] = eventually(agreed, ROW_TIMEOUT)
    return int(used)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [""]))
