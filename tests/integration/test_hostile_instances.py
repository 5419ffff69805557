"""Another user of this machine wants requests that are an instance's: he gets none.

He takes ports while nobody listens there, and says that his process is an instance.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from functools import partial

from portico.core.model.instance import Process
from portico.core.planning.environment import INSTANCE, LOGS
from portico.system.proc import stat
from tests.addresses import free_port
from tests.instances import launch, supervised, until
from tests.neighbours import Neighbour
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually as within_15_seconds

SITE = "web.localhost"
eventually = partial(within_15_seconds, within=60)  # where a daemon starts each time
SQUATTER = """
import http.server, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self):
        print("GOT", self.path, self.headers["cookie"], flush=True)
        self.send_response(200); self.send_header("content-length", "6"); self.end_headers()
        self.wfile.write(b"stolen")
while True:
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
        break
    except OSError:
        time.sleep(0.001)
print("HAS IT", flush=True)
server.serve_forever()
"""
IMPOSTOR = "print('runs', flush=True)\nimport time\ntime.sleep(600)"
PROGRAM = """
import http.server, os, pathlib, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "4"); self.end_headers()
        self.wfile.write(b"good")
here = "127.0.0.1", int(os.environ["PORT"])
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.05)
while True:
    try:
        http.server.ThreadingHTTPServer(here, Answer).serve_forever()
    except OSError:
        if sys.argv[1] == "gives up":
            raise
        time.sleep(0.2)
"""


class Squatter:
    """Waits for a port, and answers there."""

    def __init__(self, neighbour: Neighbour, port: int) -> None:
        self.port = port
        self._process = neighbour.start_python(SQUATTER, str(port))

    def has_it(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == "HAS IT\n"

    def got(self) -> str:
        """Every request that was made to him."""
        self._process.kill()
        return self._process.communicate(timeout=60)[0]


def only(stack: Stack) -> dict | None:
    found = stack.instances("web")
    return found[0] if found else None


def ready_elsewhere(stack: Stack, port: int) -> dict:
    def look() -> dict | None:
        i = only(stack)
        return i if i and i["state"] == "ready" and i["port"] != port else None

    return eventually(look)


class Gate:
    """While it is shut, no instance listens."""

    def __init__(self, stack: Stack) -> None:
        self._file = stack.folder / "open"
        self._program = stack.folder / "program.py"
        self._program.write_text(PROGRAM)

    def command(self, manner: str) -> str:
        words = ["python3", str(self._program), manner, str(self._file)]
        return f"command = {json.dumps(words)}\nbackoff = 0.1\n"

    def open(self) -> None:
        self._file.touch()

    def shut(self) -> None:
        self._file.unlink()


def test_a_port_that_a_stranger_takes_of_a_starting_instance_is_left_to_him(stack, neighbour):
    """Of a program that tries again; and after a crash, where he knows the port."""
    gate = Gate(stack)
    app = f"[apps.web]\n{gate.command('tries again')}ready_timeout = 300\n"
    file = str(stack.write(f"{app}[sites.'{SITE}']\napp = 'web'\n"))
    with stack.running("up", file) as coming:
        eventually((stack.home / "api.sock").exists)
        starting = eventually(lambda: only(stack))
        first = Squatter(neighbour, starting["port"])
        first.has_it()
        gate.open()
        assert ready_elsewhere(stack, first.port)
        assert coming.wait(60) == 0
    answers = {stack.get(SITE, cookie="secret").body for _ in range(20)}

    crashes = stack.instances("web")[0]
    gate.shut()
    second = Squatter(neighbour, crashes["port"])
    os.kill(crashes["pid"], signal.SIGKILL)
    second.has_it()
    gate.open()
    ready_elsewhere(stack, second.port)
    eventually(lambda: stack.get(SITE).body == b"good")
    answers |= {stack.get(SITE, cookie="secret").body for _ in range(20)}
    assert answers == {b"good"}
    assert "secret" not in first.got() + second.got()


def test_a_program_that_gives_up_its_port_gets_another_and_a_pinned_one_is_named(stack, neighbour):
    gate, pinned = Gate(stack), free_port()
    its = f"{gate.command('gives up')}ready_timeout = 300\n"
    file = str(stack.write(f"[apps.web]\n{its}[apps.fixed]\n{its}port = {pinned}\n"))
    with stack.running("up", file):
        eventually((stack.home / "api.sock").exists)
        starting = eventually(lambda: stack.instances("fixed") and only(stack))
        fixed = Squatter(neighbour, pinned)
        free = Squatter(neighbour, starting["port"])
        fixed.has_it()
        free.has_it()
        gate.open()
        ready_elsewhere(stack, free.port)

        def named() -> bool:
            who = f"of user {neighbour.name}"
            return any("fixed" in said and who in said for said in stack.status()["troubles"])

        eventually(named)
        assert all(i["state"] != "ready" for i in stack.instances("fixed"))
        assert "GOT" not in fixed.got() + free.got()


def test_a_listener_of_root_is_accepted_and_said(stack, neighbour):
    """As docker-proxy is, for a program that docker runs."""
    port = free_port()
    file = str(
        stack.write(
            f"[apps.web]\ncommand = 'sleep 600'\nuser = '{neighbour.name}'\nport = {port}\n"
            f"ready_timeout = 60\n"
        )
    )
    with stack.running("up", file) as coming:
        eventually((stack.home / "api.sock").exists)
        eventually(lambda: only(stack))
        server = subprocess.Popen([sys.executable, PROGRAMS / "listen.py", str(port)])
        try:
            assert coming.wait(60) == 0
            said = eventually(lambda: [t for t in stack.status()["troubles"] if "listens on" in t])
            assert f"gets its requests from pid {server.pid} (python" in said[0]
        finally:
            server.kill()
            server.wait(60)


def test_a_process_that_says_it_is_an_instance_is_believed_only_if_its_user_is_that_ones(
    tmp_path, neighbour
):
    asked = launch(tmp_path, command=("sleep", "600"))
    marks = {INSTANCE: asked.instance, LOGS: str((tmp_path / "logs").resolve())}
    impostor = neighbour.start(["/usr/bin/python3", "-c", IMPOSTOR], **marks)
    assert impostor.stdout
    assert impostor.stdout.readline() == "runs\n"
    ours = subprocess.Popen(["sleep", "600"], env=marks, start_new_session=True)
    known = Process(ours.pid, stat(ours.pid).started)

    async def scenario() -> None:
        async with supervised(tmp_path) as processes:
            assert await processes.find([(asked, 0.0)]) == {asked.instance: known}
            await processes.end_orphans([(asked, None)])
            await until(lambda: ours.poll() == -signal.SIGKILL)
            assert await processes.find([(asked, 0.0)]) == {}

    try:
        asyncio.run(scenario())
        assert impostor.poll() is None
    finally:
        ours.kill()
        ours.wait(60)
