"""Tests the files of a generation with `nginx -t`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from portico.adapters.nginx.error_lines import explain
from portico.adapters.nginx.lifecycle import Paths
from portico.errors import Failed
from portico.ports.processes import TcpPorts
from portico.system.programs import DEVNULL, Program, StartProgram, running

TEST_TIMEOUT: Final = 60.0
"""Seconds. nginx asks the system for the addresses of outside servers while it tests."""


async def run_config_test(
    program: str, main_file: Path, paths: Paths, ports: TcpPorts, start_program: StartProgram
) -> None:
    """Raises Failed, in nginx's words, where it rejects them."""
    argv = (program, *paths.arguments(main_file), "-t", "-q", "-e", "stderr")
    test = Program(argv, {}, str(paths.folder))
    try:
        async with (
            running(start_program, test, stdout=DEVNULL) as process,
            asyncio.timeout(TEST_TIMEOUT),
        ):
            _, output = await process.communicate()
    except TimeoutError:
        raise Failed(
            f"nginx -t timed out after {TEST_TIMEOUT:g} seconds; check that the names of upstream "
            "servers resolve. The running configuration is unchanged"
        ) from None
    except OSError as error:
        raise Failed(f"cannot run {program}: {error.strerror}") from error
    if process.exit_code:
        why = await explain(output.decode(errors="replace"), paths.folder, ports)
        raise Failed(
            f"nginx -t rejected the new files: {why}; the running configuration is unchanged"
        )
