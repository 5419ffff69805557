"""A command line of Portico in this process: a Python costs more to start than most commands."""

from __future__ import annotations

import contextlib
import io
import subprocess
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from portico.cli.main import run

UNCAUGHT = 1  # as Python ends


def run_here(
    args: Sequence[str], environ: Mapping[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` does it, TimeoutExpired included; for the main thread, whose folder
    becomes the command's.
    """
    result = subprocess.CompletedProcess(["portico", *args], UNCAUGHT)
    out, err = io.StringIO(), io.StringIO()

    def command() -> None:
        try:
            result.returncode = run(args, environ, out, err)
        except BaseException:  # noqa: BLE001 - shown as Python shows it
            traceback.print_exc(file=err)

    thread = threading.Thread(target=command, daemon=True)
    with contextlib.chdir(folder):
        thread.start()
        thread.join(seconds)
    result.stdout, result.stderr = out.getvalue(), err.getvalue()
    if thread.is_alive():
        raise subprocess.TimeoutExpired(result.args, seconds, result.stdout, result.stderr)
    return result
