"""What the time saves for which a receiver keeps idle connections while it reloads: POSTs that
cross to three nginxes of loopback, one of which reloads again and again.

    python -m bench.crossing_reloads       15 reloads with each time, and 3,000 POSTs at least
    python -m bench.crossing_reloads 50    so many reloads

Prints how many POSTs were sent and lost by `keepalive_min_timeout` of the receiver: that of
decision 0023, that of all other servers, and none. Fails where POSTs are lost with the first, or
none are with the last, which then proves nothing.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Final

from portico.core.render.machines import RECEIVER_KEEPALIVE
from tests.edge import Edge
from tests.integration.test_crossing import Machines

TIMES: Final = (RECEIVER_KEEPALIVE, "2s", "0")
RELOADS, POSTS = 15, 3000
CLIENTS, PAUSE = 16, 0.02
"""Seconds that each waits between two POSTs, so that connections are idle."""


def main(reloads: int) -> int:
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        folder.chmod(0o755)
        machines = Machines(folder, exits)
        result = {time: lost_with(time, machines, reloads) for time in TIMES}
    print(json.dumps(result, indent=2))
    return 0 if not result[RECEIVER_KEEPALIVE]["lost"] and result["0"]["lost"] else 1


def lost_with(time: str, machines: Machines, least: int) -> dict[str, int]:
    receiver = machines.edge["m2"]
    set_time(receiver, time)
    receiver.read_again()
    ends, statuses, reloads = Event(), list[int](), 0

    def post() -> None:
        with machines.front.client("app.test") as client:
            while not ends.wait(PAUSE):
                statuses.append(client.ask("POST", "/away", b"body").status)

    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(post) for _ in range(CLIENTS)]
        try:
            while reloads < least or len(statuses) < POSTS:
                assert not any(each.done() for each in clients)
                receiver.read_again()
                reloads += 1
        finally:
            ends.set()
        for each in clients:
            each.result()
    found = Counter(statuses)
    return {"POSTs": found.total(), "reloads": reloads, "lost": found.total() - found[200]}


def set_time(edge: Edge, time: str) -> None:
    """Of its server for other machines, the first line of that name after its `listen`."""
    own = re.compile(r"(ssl_verify_client [^}]*?keepalive_min_timeout )\w+;")
    text, count = own.subn(rf"\g<1>{time};", edge.main.read_text())
    assert count == 1, count
    edge.main.write_text(text)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else RELOADS))
