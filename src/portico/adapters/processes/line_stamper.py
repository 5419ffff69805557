"""Runs a program whose lines of output begin with the time (`logs.timestamp`).

A program of its own, run by its path with nothing but Python's library: what is started becomes
the program, and a child of the same session writes the lines on. The child ignores signals that
ask a program to stop and ends when nobody can write any more, so that nothing said is lost.

    line_stamper.py FORMAT PROGRAM ARGV0 ARGUMENT…
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

MAX_LINE = 1 << 16  # bytes; a longer one is cut
STOP_SIGNALS = (
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGTERM",
    "SIGUSR1",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
)


def main() -> None:
    form, program, *words = sys.argv[1:]
    out, err = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.fork() == 0:  # an orphan: no child that the program does not know
                os.close(out[1])
                os.close(err[1])
                _write_on(form, {out[0]: 1, err[0]: 2})
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.dup2(out[1], 1)
    os.dup2(err[1], 2)
    for name in ("SIGPIPE", "SIGXFSZ"):  # which Python ignores, and a program would go on to
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execv(program, words)  # noqa: S606 - the operator's program, and no shell
    except OSError as error:
        os.write(2, f"{program}: {error.strerror}\n".encode())
        sys.exit(127)


def _write_on(form: str, files: dict[int, int]) -> None:
    """From each pipe to its file, until both are closed."""
    os.close(0)
    for name in STOP_SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    rests = dict.fromkeys(files, b"")
    while rests:
        for source in select.select(list(rests), [], [])[0]:
            chunk = os.read(source, 1 << 16)
            *lines, rest = (rests[source] + chunk).split(b"\n")
            if not chunk or len(rest) > MAX_LINE:
                lines, rest = [*lines, *([rest] if rest else [])], b""
            if lines:
                stamp = _stamp(form).encode()
                _write(files[source], b"".join(b"%s: %s\n" % (stamp, line) for line in lines))
            if chunk:
                rests[source] = rest
            else:
                del rests[source]


def _write(file: int, text: bytes) -> None:
    """What has no room on the disk is lost; the program must not stand still for it."""
    while text:
        try:
            text = text[os.write(file, text) :]
        except OSError:
            return


def _stamp(form: str) -> str:
    """As strftime(3), with %L for milliseconds and %:z for an offset with a colon."""
    now = time.time()  # noqa: TID251 - a program of its own has no Clock
    zone = time.strftime("%z", time.localtime(now))
    text = form.replace("%L", f"{int(now * 1000) % 1000:03d}")
    return time.strftime(text.replace("%:z", f"{zone[:-2]}:{zone[-2:]}"), time.localtime(now))


if __name__ == "__main__":
    main()
