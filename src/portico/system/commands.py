"""Programs that are waited for, with a deadline: systemctl, crontab, node, porticod itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from portico.errors import Failed


def run_tool(
    command: Sequence[str], environ: Mapping[str, str], *, seconds: float, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Its output is text, in which bytes that are no UTF-8 stay as they are. Raises Failed where
    it cannot be run or does not end in time.
    """
    try:
        return subprocess.run(  # noqa: S603 - our own words, no shell
            command,
            env=environ,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"cannot run {' '.join(command)}: {error}") from None


@contextmanager
def run_in_group(
    command: Sequence[str], environ: Mapping[str, str], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, which ends with the block, whatever ends that.
    `options` are of Popen. Raises OSError where it cannot be run.
    """
    process = subprocess.Popen(  # noqa: S603 - words, and no shell
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
