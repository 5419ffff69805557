"""Writes numbered lines until SIGTERM, each with one write, argv[1] of them a second.

At the end it says on standard error how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
import time

rate = int(sys.argv[1])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
count, begun = 0, time.monotonic()
while not stopped:
    due = int((time.monotonic() - begun) * rate)
    while count < due and not stopped:
        count += 1
        os.write(1, f"line {count:09d} {'x' * 80}\n".encode())
    time.sleep(0.001)
print(count, file=sys.stderr, flush=True)
