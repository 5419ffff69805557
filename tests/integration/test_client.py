"""The client against the API, and against daemons that do not come up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from portico.client.client import Client
from portico.client.connect import connect
from portico.core.model import verbs
from portico.errors import ConfigError, Failed, NotFound, Unreachable
from portico.system.home import ALREADY_SERVED_CODE, Home
from tests.fakes.control import FakeControl, log_file, serving

DOCUMENT = {
    "source": "portico.toml",
    "folder": "/srv",
    "table": {"apps": {"web": {"instances": 2}}},
    "environ": {"A": "b"},
}

SERVING = """
import os, sys, threading
from pathlib import Path
from tests.fakes.control import FakeControl, serving
print("a daemon begins", flush=True)
with serving(FakeControl(), Path(os.environ["PORTICO_HOME"])):
    threading.Event().wait(60)
"""

SERVING_LATE = f"import time; time.sleep(2){SERVING}"

LEAVING = f"raise SystemExit({ALREADY_SERVED_CODE})"


@pytest.fixture
def served(tmp_path):
    control = FakeControl()
    with serving(control, tmp_path / "home") as home:
        yield control, Client(home.socket)


def test_answers_are_read_by_the_names_of_the_views(served):
    _, client = served
    status = client.ask(verbs.STATUS)
    assert [instance.pid for instance in status.apps[0].instances] == [4711, 4712]
    assert status.nginx.version == "1.31.3"
    assert client.ask(verbs.VERSION).pid == os.getpid()
    assert client.ask(verbs.CHECK, **DOCUMENT).notes == ["web: a note"]
    assert client.ask(verbs.RENDER).files["nginx.conf"] == "events {}\n"
    assert client.ask(verbs.PLAN, **DOCUMENT).steps[0].why == "3 are wanted, 2 run"
    assert client.ask(verbs.HISTORY)[1].number == 1
    with pytest.raises(Failed, match="another version"):
        _ = status.nothing_like_it


def test_a_document_arrives_whole(served):
    control, client = served
    client.ask(verbs.UP, **DOCUMENT)
    _, request = control.asked[0]
    assert (request.table, request.environ) == (DOCUMENT["table"], DOCUMENT["environ"])


def test_names_cannot_leave_their_place_in_the_path(served):
    control, client = served
    with pytest.raises(NotFound, match=r"there is no app x\?y%; known: web"):
        client.ask(verbs.DELETE, app="x?y%")
    with pytest.raises(NotFound, match=r"there is no app \.\./changes; known: web"):
        client.ask(verbs.DELETE, app="../changes")
    control.log_files = [log_file("/a"), log_file("/b", app="a&b")]
    assert [file.path for file in client.ask(verbs.LOGS, app="a&b")] == ["/b"]


def test_a_wrong_file_arrives_as_the_error_it_was(served):
    _, client = served
    with pytest.raises(ConfigError) as caught:
        client.ask(verbs.CHECK, source="x.toml", folder="/", table={})
    assert caught.value.source == "x.toml"
    assert caught.value.problems[0].hint == 'write "[apps.web]"'


def test_a_followed_change_ends_with_its_end(served):
    control, client = served
    control.holding = True
    change = client.ask(verbs.RELOAD, app=None)
    seen, idle = [], threading.Event()
    for view in client.follow(change.id, idle.set):
        seen.append(view.state)
        if len(seen) == 1:
            threading.Timer(0.3, control.end, (change.id,)).start()
    assert seen[0] == "doing"
    assert seen[-1] == "done"
    assert idle.is_set()
    with pytest.raises(NotFound):
        list(client.follow("c99"))


def test_a_daemon_that_leaves_ends_the_following(tmp_path):
    control = FakeControl()
    control.holding = True
    with serving(control, tmp_path / "home") as home:
        client = Client(home.socket)
        stream = client.follow(client.ask(verbs.STOP, app="web").id)
        assert next(stream).state == "doing"
    with pytest.raises(Unreachable, match="before change c1 had finished"):
        next(stream)


@contextmanager
def answering_once(path, answer):
    """A socket on which the first request gets these bytes."""

    def answer_one():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        answering = threading.Thread(target=answer_one)
        answering.start()
        yield
        answering.join()


def test_an_answer_that_is_cut_off_is_no_answer(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"
    path = tmp_path / "api.sock"
    closed = pytest.raises(Unreachable, match="closed the connection")
    with answering_once(path, answer), closed:
        Client(path).ask(verbs.STATUS)


def test_what_a_daemon_that_leaves_did_not_do_is_asked_of_the_next_one(tmp_path):
    path = tmp_path / "home" / "api.sock"
    path.parent.mkdir()
    answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}"
    with answering_once(path, answer), ExitStack() as stack:

        def revive():
            path.unlink()
            stack.enter_context(serving(FakeControl(), path.parent))

        assert Client(path, revive).ask(verbs.VERSION).pid == os.getpid()


def test_nothing_is_started_for_one_who_only_reads_an_empty_home(tmp_path):
    home = Home(tmp_path / "home")
    with pytest.raises(Unreachable, match="start with `portico up`"):
        connect(home, {})
    assert not home.path.exists()


@pytest.mark.parametrize("asked", [True, False])
def test_a_daemon_is_started_where_it_is_wanted_or_where_something_is_remembered(tmp_path, asked):
    home = Home(tmp_path / "home")
    if not asked:
        home.make()
        home.database.touch()
    client = connect(home, dict(os.environ), start=asked, program=[sys.executable, "-c", SERVING])
    daemon = client.ask(verbs.VERSION).pid
    try:
        assert daemon != os.getpid()
        assert os.getsid(daemon) == daemon
        assert "a daemon begins" in home.daemon_log.read_text()
        assert connect(home, {}).ask(verbs.VERSION).pid == daemon
    finally:
        end(daemon)


def test_a_daemon_that_has_left_since_it_was_seen_is_started_again_for_what_is_asked(tmp_path):
    home = Home(tmp_path / "home")
    program = [sys.executable, "-c", SERVING]
    client = connect(home, dict(os.environ), start=True, program=program)
    first = client.ask(verbs.VERSION).pid
    end(first)
    second = client.ask(verbs.VERSION).pid
    try:
        assert second != first
    finally:
        end(second)


def test_a_daemon_that_dies_at_its_start_is_quoted(tmp_path):
    home = Home(tmp_path / "home")
    home.make()
    home.daemon_log.write_text("of another day\n")
    program = [sys.executable, "-c", "raise SystemExit('no such nginx')"]
    with pytest.raises(Failed) as caught:
        connect(home, dict(os.environ), start=True, program=program)
    assert str(caught.value) == "cannot start the daemon: it exited immediately:\n  no such nginx"


def test_a_daemon_that_ends_because_another_was_quicker_is_no_failure(tmp_path):
    home = Home(tmp_path / "home")
    first = subprocess.Popen(
        [sys.executable, "-c", SERVING_LATE], env={**os.environ, "PORTICO_HOME": str(home.path)}
    )
    try:
        program = [sys.executable, "-c", LEAVING]
        assert connect(home, dict(os.environ), start=True, program=program).ask(verbs.VERSION).pid
    finally:
        first.kill()
        first.wait()


def end(pid):
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
