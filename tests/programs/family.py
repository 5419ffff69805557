"""A process with a child and a grandchild; each appends `name pid` to the file in argv[1].

argv[2] says what the first one does then: `stays`, `dies` (exits with 3 and leaves the others
behind), or `leaves` (exits at once at SIGTERM, while its child still finishes: half a second
later that one appends `finished`).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

told, manner = Path(sys.argv[1]), sys.argv[2]
leader = os.getpid()


def note(text: str) -> None:
    with told.open("a") as file:
        file.write(f"{text}\n")


def finish(_signal: int, _frame: object) -> None:
    time.sleep(0.5)
    note("finished")
    os._exit(0)


if os.fork() == 0:
    if os.fork() == 0:
        note(f"grandchild {os.getpid()}")
        signal.pause()
    if manner == "leaves":
        signal.signal(signal.SIGTERM, finish)
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(f"child {os.getpid()}")
    while True:
        signal.pause()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while told.read_text().count("child ") < 2:
    time.sleep(0.01)
note(f"leader {leader}")
if manner == "dies":
    sys.exit(3)
signal.pause()
