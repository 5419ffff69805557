"""The end of everything: asked for once it is patient, asked for twice it is not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.clients import Answer
from tests.sockets import Held, ended, held
from tests.stack import BIN, PROGRAMS, Stack
from tests.waiting import eventually, is_gone

SITE = "app.localhost"


def file(stack: Stack, program: str = "echo.py", **keys: object) -> str:
    env, keys = keys.pop("env", {}), {"drain_timeout": 600} | keys
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    lines += "".join(f"env.{key} = {json.dumps(value)}\n" for key, value in env.items())
    text = (
        f"[apps.web]\ncommand = 'python3 {PROGRAMS / program}'\ninstances = 2\n{lines}"
        f"[sites.'{SITE}']\napp = 'web'\n"
    )
    return str(stack.write(text, workers=2))


STUBBORN = {"env": {"IGNORE_SIGTERM": "1"}, "stop_timeout": 600}


def up(stack: Stack, program: str = "echo.py", **keys: object) -> None:
    file(stack, program, **keys)
    stack.up()


def never_ready(stack: Stack) -> str:
    text = f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\nready_timeout = 600\n"
    return str(stack.write(f"{text}env.NEVER_LISTEN = '1'\n"))


class Request:
    """One that goes on in a thread of its own."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self._ask = ask
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except OSError as error:
            self.error = error

    def end(self) -> Answer | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.answer


@contextmanager
def slow_request(stack: Stack) -> Iterator[Request]:
    """Answered once the file `answer` is there, or when nobody is there any more to answer it."""
    request = Request(lambda: stack.get(SITE, f"/?until={stack.root}/answer"))
    try:
        eventually(lambda: _asked(stack))
        yield request
    finally:
        let_it_answer(stack)
        request.end()


def let_it_answer(stack: Stack) -> None:
    (stack.root / "answer").touch()


def _asked(stack: Stack) -> bool:
    """Whether an instance has a request: a connection that nginx has not opened for this look."""
    ports = {instance["port"] for instance in stack.instances("web")}
    return any(
        c.status == psutil.CONN_ESTABLISHED and c.laddr.ip == "127.0.0.1" and c.laddr.port in ports
        for c in psutil.net_connections("tcp")
    )


def is_refused(stack: Stack) -> bool:
    try:
        socket.create_connection(("127.0.0.1", stack.https), 1).close()
    except OSError:
        return True
    return False


def pids_of(stack: Stack) -> list[int]:
    return [instance["pid"] for instance in stack.instances("web")]


def daemon(stack: Stack) -> psutil.Process:
    return psutil.Process(stack.status()["daemon"]["pid"])


def test_down_takes_nothing_new_and_finishes_what_there_is(stack):
    """An upload that is still coming in has not reached an instance yet, and does so later."""
    up(stack)
    process = daemon(stack)
    pids = pids_of(stack)
    upload = Upload(stack)
    with slow_request(stack) as slow, stack.running("down") as down:
        eventually(lambda: is_refused(stack))
        assert not any(map(is_gone, pids))
        assert down.poll() is None
        upload.rest.set()
        let_it_answer(stack)
        assert slow.end().status == 200
        assert upload.end().json["body_bytes"] == upload.size
        assert down.wait(60) == 0
    assert all(map(is_gone, pids))
    process.wait(60)


class Upload(Request):
    """A body of which half comes in, and the other half when `rest` is set."""

    size = 200_000

    def __init__(self, stack: Stack) -> None:
        self.begun, self.rest = threading.Event(), threading.Event()

        def body() -> Iterator[bytes]:
            yield b"u" * (self.size // 2)
            self.begun.set()
            assert self.rest.wait(60)
            yield b"u" * (self.size // 2)

        def ask() -> Answer:
            with stack.client(SITE) as client:
                return client.ask("POST", "/", body(), Content_Length=str(self.size))

        super().__init__(ask)
        assert self.begun.wait(60)


def test_down_closes_sockets_as_their_program_does_when_their_time_is_over(stack):
    up(stack, "websocket.py", drain_timeout=4)

    async def story() -> tuple[float, list[Held]]:
        async with held(stack, SITE, 4) as sockets:
            begun = time.monotonic()
            await asyncio.gather(asyncio.to_thread(stack.done, "down"), ended(sockets, 60))
            return begun, sockets

    begun, sockets = asyncio.run(story())
    assert {each.code for each in sockets} == {1001}
    assert min(each.ended_at - begun for each in sockets) > 3


@pytest.mark.parametrize("words", [("down",), ("down", "--now")])
def test_a_second_down_does_not_wait_for_anything(stack, words):
    up(stack, **STUBBORN)
    with slow_request(stack) as slow, stack.running("down") as down:
        eventually(lambda: is_refused(stack))
        assert "no longer waiting for open requests" in stack.done(*words).stderr
        assert down.wait(60) == 0
        slow.end()
    assert slow.answer is None or slow.answer.status >= 500


def test_whoever_interrupts_down_only_stops_watching(stack):
    up(stack)
    pids = pids_of(stack)
    with slow_request(stack) as slow:
        down = subprocess.Popen(
            [BIN / "portico", "down"], env=stack.environ, stderr=subprocess.PIPE, text=True
        )
        assert "waiting" in down.stderr.readline()
        down.send_signal(signal.SIGINT)
        _, said = down.communicate(timeout=60)
        assert down.returncode == 130
        assert "down continues in the background" in said
        let_it_answer(stack)
        assert slow.end().status == 200
    eventually(lambda: all(map(is_gone, pids)))


def test_down_gives_up_an_up_that_does_not_come_to_an_end(stack):
    with stack.running("up", never_ready(stack)) as coming:
        eventually((stack.home / "api.sock").exists)
        eventually(lambda: stack.status()["apps"] and stack.instances("web"))
        stack.done("down")
        assert coming.wait(60) == 1
        assert coming.stdout
        assert "was cancelled: everything is being stopped" in coming.stdout.read()


def test_after_down_everything_can_come_up_again_at_once(stack):
    up(stack)
    stack.done("down")
    stack.up()
    assert stack.get(SITE).status == 200


@contextmanager
def in_foreground(stack: Stack, **keys: object) -> Iterator[subprocess.Popen[str]]:
    name = file(stack, **keys)
    with stack.running("run", name) as process:
        eventually((stack.home / "api.sock").exists)
        eventually(lambda: stack.answers(SITE))
        yield process


def test_in_the_foreground_sigterm_finishes_what_there_is_and_exits_with_0(stack):
    """And `down` leaves the daemon to whoever started it."""
    with in_foreground(stack) as process:
        stack.done("down")
        assert stack.status()["apps"] == []
        assert process.poll() is None
        stack.up()
        pids = pids_of(stack)
        assert stack.status()["daemon"]["mode"] == "foreground"
        with slow_request(stack) as slow:
            process.send_signal(signal.SIGTERM)
            eventually(lambda: is_refused(stack))
            let_it_answer(stack)
            assert slow.end().status == 200
        assert process.wait(60) == 0
    assert not (stack.home / "portico.db-wal").exists()  # the state is whole in one file
    assert all(map(is_gone, pids))


def test_in_the_foreground_a_second_signal_waits_for_nothing(stack):
    with in_foreground(stack, **STUBBORN) as process:
        with slow_request(stack) as slow:
            process.send_signal(signal.SIGTERM)
            eventually(lambda: is_refused(stack))
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            slow.end()
        assert slow.answer is None or slow.answer.status >= 500


def test_in_the_foreground_a_signal_is_heard_while_things_are_coming_up(stack):
    with stack.running("run", never_ready(stack)) as process:
        eventually((stack.home / "api.sock").exists)
        eventually(lambda: stack.status()["apps"] and stack.instances("web"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a namespace of processes"
)
def test_as_process_1_of_a_container_it_buries_the_workers_of_a_killed_nginx(stack):
    apart = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    with stack.running("run", file(stack), under=apart) as outside:
        eventually((stack.home / "api.sock").exists)
        # Only when nginx was seen to serve is it done; before, `run` would give up.
        eventually(lambda: "done" in stack.done("changes").stdout)
        (first,) = psutil.Process(outside.pid).children()
        master = next(p for p in first.children() if "master process" in " ".join(p.cmdline()))
        workers = master.children()
        for process in (*workers, master):
            process.kill()
        eventually(lambda: not any(map(psutil.Process.is_running, workers)))  # nor a zombie
        eventually(lambda: stack.answers(SITE))
        first.send_signal(signal.SIGTERM)
        assert outside.wait(60) == 0
