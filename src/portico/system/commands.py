"""Programs of the system that the command line runs: systemctl, crontab, porticod itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

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
