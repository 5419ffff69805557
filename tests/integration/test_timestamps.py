"""Programs whose lines of output begin with the time, and what they notice of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portico.adapters.processes import line_stamper, watch
from portico.core.model.instance import Exit
from portico.system.account import account_of
from portico.system.proc import stat
from portico.system.rights import barriers
from tests.instances import Exits, launch, supervised, until
from tests.waiting import eventually

STAMP = "%Y-%m-%dT%H:%M:%S.%L%:z"
STAMPED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d: (.*)")


def words(text: str) -> list[str]:
    """What follows the time in each line."""
    found = [STAMPED.fullmatch(line) for line in text.splitlines()]
    assert all(found), text
    return [line[1] for line in found]


def test_the_writer_of_an_instance_of_an_older_version_is_one_too(tmp_path, monkeypatch):
    assert {Path(os.fsdecode(each)).name for each in watch.WRITER_PROGRAMS} == {
        "line_stamper.py",
        "stamped.py",
    }
    former = tmp_path / "stamped.py"
    former.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(watch, "WRITER_PROGRAMS", frozenset({os.fsencode(former)}))
    with subprocess.Popen((sys.executable, "-I", "-S", former, STAMP, "run")) as program:
        eventually(lambda: watch.is_writer(program.pid))
        program.kill()


def ended(folder, script: str, signal_name: str = "", *, lines: int):
    """How a shell script ends, and what it has written to both of its files: so many lines. They
    are written by another process, which may come to it after the end of the script.
    """
    asked = launch(folder, command=("sh", "-c", script), logs={"timestamp": STAMP})

    async def scenario():
        async with supervised(folder) as processes:
            exits = Exits()
            process = await processes.spawn(asked, exits)
            if signal_name:
                await until(lambda: processes.output(asked))
                processes.signal(process, signal_name)
            ending = await exits.first()
            assert stat(process.pid) is None
            files = (processes.output, processes.errors)
            await until(lambda: sum(len(f(asked).splitlines()) for f in files) >= lines)
            return ending, words(processes.output(asked)), words(processes.errors(asked))

    return asyncio.run(scenario())


def test_every_line_of_both_streams_begins_with_the_time_and_the_program_ends_as_it_does(tmp_path):
    script = "echo one; echo two >&2; echo; printf 'no newline'; exit 3"
    assert ended(tmp_path, script, lines=4) == (Exit(code=3), ["one", "", "no newline"], ["two"])
    dies = "echo last words; kill -KILL $$"
    (tmp_path / "killed").mkdir()
    killed = ended(tmp_path / "killed", dies, lines=1)
    assert killed == (Exit(signal=signal.SIGKILL), ["last words"], [])


def test_a_program_that_is_asked_to_stop_still_has_its_last_words(tmp_path):
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    ending, output, _ = ended(tmp_path, script, "SIGTERM", lines=2)
    assert (ending, output) == (Exit(code=0), ["ready", "bye"])


def test_a_program_starts_in_a_clean_state_and_with_no_child_that_it_does_not_know(tmp_path):
    script = (
        "grep SigIgn /proc/$$/status; ls /proc/self/fd; "
        "cat /proc/$$/task/$$/children; echo; [ $$ = $(ps -o sid= -p $$) ] && echo leads"
    )
    _, output, _ = ended(tmp_path, script, lines=7)
    assert output[0].split()[1].strip("0") == ""
    assert output[1:5] == ["0", "1", "2", "3"], "the last is the folder that ls reads"
    assert len(output[5].split()) == 1, "cat itself"
    assert output[-1] == "leads"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start programs as another user")
def test_a_program_of_a_user_who_cannot_read_what_writes_the_times_runs_without_them(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 1:
            folder.chmod(0o711)
    asked = launch(
        tmp_path, command=("sh", "-c", "id -un"), user="nobody", logs={"timestamp": STAMP}
    )

    async def scenario():
        async with supervised(tmp_path) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            return await exits.first(), processes.output(asked).splitlines()

    ending, (line,) = asyncio.run(scenario())
    files = [(sys.executable, False), (line_stamper.__file__, False)]
    is_open = not any(barriers(account_of("nobody", None), files))
    assert (ending, words(line) if is_open else [line]) == (Exit(code=0), ["nobody"])


def test_what_cannot_be_executed_says_so_in_its_own_log(tmp_path):
    program = tmp_path / "broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    asked = launch(tmp_path, command=(str(program),), logs={"timestamp": STAMP})

    async def scenario():
        async with supervised(tmp_path) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            return await exits.first(), words(processes.errors(asked))

    ending, errors = asyncio.run(scenario())
    assert (ending, errors) == (Exit(code=127), [f"{program}: No such file or directory"])
