"""Runs requests to an authority in forked children, each killed before its n-th act.

An act is what others can see: a signed request, a connection made, a file renamed or removed.
Lines on standard input: `{"request": …, "before": n}`; answers: `{"killed": bool, "line": last
line}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import tempfile

from portico.adapters.acme.child import main as child

ACTS = {"socket.connect", "os.rename", "subprocess.Popen"}
PUBLISHING = "portico.adapters.acme.child.challenges.dns.publishing"
"""What the child imports when it needs it; here once for all."""


def main() -> None:
    importlib.import_module(PUBLISHING)
    gc.collect()
    gc.freeze()  # which children then neither look through nor copy
    for text in sys.stdin:
        asked = json.loads(text)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
            given.write(json.dumps(asked["request"]).encode())
            given.seek(0)
            status = run(given.fileno(), out.fileno(), asked["before"])
            out.seek(0)
            lines = out.read().splitlines()
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        last = json.loads(lines[-1]) if lines and not killed else None
        print(json.dumps({"killed": killed, "line": last}), flush=True)


def run(given: int, out: int, before: int) -> int:
    pid = os.fork()
    if not pid:
        os.dup2(given, 0)
        os.dup2(out, 1)
        sys.stdin = os.fdopen(0)
        sys.stdout = os.fdopen(1, "w")
        kill_before(before)
        child.main()
        sys.stdout.flush()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def kill_before(number: int) -> None:
    seen = 0

    def look(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if is_act(event, args):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def is_act(event: str, args: tuple[object, ...]) -> bool:
    """Neither the head of a request, as long as its body does not follow, nor a file that is
    not yet in its place is seen by anybody.
    """
    if event == "http.client.send":
        return bytes(args[1]).startswith(b"{")
    if event == "os.remove":
        return not str(args[0]).endswith(".new")
    return event in ACTS


if __name__ == "__main__":
    main()
