"""`portico top` in a real terminal, before a real daemon."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from tests.stack import BIN, PROGRAMS, Stack

COLUMNS, LINES = 150, 30
WITHIN = 60
FILE = f"""
[apps.web]
command = "python3 {PROGRAMS / "listen.py"}"
instances = 2
"""


class Terminal:
    """A terminal of this size with a program in it."""

    def __init__(self, words, environ):
        import pyte  # noqa: PLC0415 - all processes that run tests import this module

        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("4H", LINES, COLUMNS, 0, 0))
        self.program = subprocess.Popen(
            words,
            stdin=there,
            stdout=there,
            stderr=there,
            env={**environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(there)

    def press(self, keys):
        os.write(self._here, keys.encode())

    def shows(self, *texts, pattern=""):
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            if select.select([self._here], [], [], 0.2)[0]:
                self._stream.feed(os.read(self._here, 1 << 16))
            shown = "\n".join(self._screen.display)
            if all(text in shown for text in texts) and re.search(pattern, shown):
                return
        raise AssertionError(f"{texts} {pattern} are not shown:\n{shown}")

    def end(self):
        self.press("q")
        end = time.monotonic() + WITHIN
        while self.program.poll() is None and time.monotonic() < end:
            if select.select([self._here], [], [], 0.1)[0]:
                try:
                    os.read(self._here, 1 << 16)
                except OSError:  # EIO: nobody has the terminal open any more
                    break
        os.close(self._here)
        return self.program.wait(WITHIN)


def test_the_table_is_live_and_scales_an_app():
    with Stack() as stack:
        stack.up(FILE)
        terminal = Terminal([BIN / "portico", "top", "--every", "0.3"], stack.environ)
        try:
            terminal.shows("2 of 2 instances ready", "web.1", "web.2")
            terminal.press("+")
            terminal.shows(f"scale {stack.folder.name}/web by +1?")
            terminal.press("y")
            terminal.shows("3 of 3 instances ready", "by +1: done")
            terminal.press("l")
            terminal.shows("listens on")
            stack.kill_daemon()
            stack.done("scale", "web", "2")  # starts the next one
            terminal.shows("2 of 2 instances ready")
        finally:
            assert terminal.end() == 0


def test_without_a_terminal_status_is_named():
    with Stack() as stack:
        refused = stack.portico("top")
        assert refused.returncode != 0
        assert "portico status" in refused.stderr
