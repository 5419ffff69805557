"""Why a real program ended or was not ready, found out as a daemon would."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import closing

import pytest

from portico.adapters.logs.files import FileLogs
from portico.adapters.probes.loopback import LoopbackProbes
from portico.adapters.processes.sockets import LinuxPorts
from portico.core.model.check import Check
from portico.core.planning.reasons import explain, explain_listening
from portico.system.clock import SystemClock
from tests.instances import Exits, launch, node, python, supervised, until


def why_it_ended(folder, port, **app):
    async def scenario():
        asked = launch(folder, port=port, **app)
        logs, ports = FileLogs(folder / "logs"), LinuxPorts(SystemClock())
        logs.begin(asked.spec, 1)
        async with supervised(folder) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            ending = await exits.first()
            lines = await logs.last_lines(asked.spec, 1, 20)
            return explain(ending, lines, port=port, holder=await ports.holder(port))

    return asyncio.run(scenario())


def why_it_is_not_ready(folder, port, within=0.1, **app):
    async def scenario():
        asked = launch(folder, port=port, **app)
        async with supervised(folder) as processes:
            process = await processes.spawn(asked, Exits())
            await until(lambda: processes.output(asked))
            trouble = await LoopbackProbes().probe(Check(path="/", timeout=0.2), port)
            listening = await LinuxPorts(SystemClock()).listening_ports(process)
            return explain_listening(port, listening, trouble, within)

    return asyncio.run(scenario())


@pytest.fixture
def taken():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free():
    return asyncio.run(LinuxPorts(SystemClock()).free(frozenset()))


@pytest.mark.parametrize("program", [node("listen.js"), python("listen.py")])
def test_a_program_whose_own_port_is_taken(tmp_path, taken, program):
    reason = why_it_ended(tmp_path, taken, command=program)
    assert reason.startswith(f"exited with code 1: port {taken} is in use by pid {os.getpid()} (")


def test_a_program_that_does_not_listen_on_the_port_it_is_given(tmp_path, taken, free):
    assert why_it_ended(tmp_path, free, command=node("listen.js", taken)) == (
        f"exited with code 1: it tried port {taken}, which is in use; "
        f"make it listen on $PORT ({free})"
    )
    assert why_it_is_not_ready(tmp_path, taken, command=node("listen.js", free)) == (
        f"listens on {free} instead of {taken}; make it listen on $PORT"
    )


def test_a_program_that_never_listens(tmp_path, free):
    assert why_it_is_not_ready(tmp_path, free, command=python("show.py")) == (
        "opened no port within 0.1s; if it needs longer, increase ready_timeout "
        "(listen_timeout in a PM2 file)"
    )


def test_a_program_that_listens_where_nginx_does_not_ask(tmp_path, free):
    assert why_it_is_not_ready(tmp_path, free, command=node("listen.js", free, "::1")) == (
        f"listens on port {free} of [::1] only, which nginx does not use; make it listen on "
        "127.0.0.1"
    )


def test_a_program_that_listens_and_says_nothing(tmp_path, free):
    assert why_it_is_not_ready(tmp_path, free, command=python("listen.py", free)) == (
        "was not ready within 0.1s: no answer within 0.2s"
    )


@pytest.mark.parametrize(
    ("script", "text", "reason"),
    [
        ("a.js", "require('nowhere')", "module nowhere was not found; is it installed?"),
        ("a.mjs", "import 'nowhere'", "module nowhere was not found; is it installed?"),
        ("a.py", "import nowhere", "module nowhere was not found; is it installed?"),
        ("a.js", "\nconst = 5;", "SyntaxError: Unexpected token '=' ({}/a.js:2)"),
        ("a.py", "\ndef f(:", "SyntaxError: invalid syntax ({}/a.py:2)"),
        ("a.js", "null.x", "TypeError: Cannot read properties of null (reading 'x')"),
        ("a.py", "{}['answer']", "KeyError: 'answer'"),
        ("a.py", "raise SystemExit('no database')", "no database"),
        ("a.sh", "nod index.js\nexit 1", "its shell did not find program nod"),
    ],
)
def test_a_program_that_dies_of_a_mistake_in_it(tmp_path, free, script, text, reason):
    (tmp_path / script).write_text(text)
    expected = f"exited with code 1: {reason.format(tmp_path)}"
    assert why_it_ended(tmp_path, free, script=script) == expected


def test_a_program_that_needs_more_memory_than_it_may_have(tmp_path, free):
    eater = "const a = []; for (;;) a.push(new Array(1000).fill(a.length))"
    reason = why_it_ended(tmp_path, free, command=("node", "--max-old-space-size=16", "-e", eater))
    assert (
        reason
        == "was killed by SIGABRT: its heap was full; it leaks memory or needs a higher limit"
    )
