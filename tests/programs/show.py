"""Writes what it was started with as one line of JSON to standard output, then waits.

With `exit N` as arguments it exits with that code instead.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

umask = os.umask(0)
status = Path("/proc/self/status").read_text()
field = {line.split(":")[0]: line.split(":")[1].strip() for line in status.splitlines()}
seen = {
    "env": dict(os.environ),
    "argv": sys.argv[1:],
    "program": sys.executable,
    "cwd": os.getcwd(),  # noqa: PTH109 - as the system tells it
    "pid": os.getpid(),
    "session": os.getsid(0),
    "umask": umask,
    "uid": os.getuid(),
    "gid": os.getgid(),
    "groups": sorted(os.getgroups()),
    "ignored": int(field["SigIgn"], 16),
    "blocked": int(field["SigBlk"], 16),
    "stdin": os.readlink("/proc/self/fd/0"),  # noqa: PTH115 - no file to resolve
    "files": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],  # noqa: PTH208
}
print(json.dumps(seen), flush=True)
if sys.argv[1:2] == ["exit"]:
    print("going", file=sys.stderr, flush=True)
    sys.exit(int(sys.argv[2]))
signal.pause()
