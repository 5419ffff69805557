"""Programs are started here or by the launcher, and are the same either way."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from portico.system.launcher import StartOutside
from portico.system.programs import (
    DEVNULL,
    STDOUT,
    Program,
    StartProgram,
    handle_ignored_signals,
    running,
    start_here,
)
from portico.system.spawning import start_beside
from tests.instances import is_dead
from tests.waiting import eventually


@contextmanager
def launcher(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["nohup", sys.executable, "-P", "-m", "portico.system.launcher"],
        env={"PATH": os.environ["PATH"], "PORTICO_HOME": str(home)},
    )
    try:
        eventually((home / "launch").exists)
        yield process
    finally:
        process.kill()
        process.wait(60)


@pytest.fixture(scope="module")
def home():
    """Below /tmp itself: others cannot enter the folders of pytest."""
    with tempfile.TemporaryDirectory(prefix="portico-", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with launcher(home):
            yield home


@pytest.fixture(params=["here", "beside", "outside"])
def start_program(request, home) -> StartProgram:
    if request.param == "outside":
        return StartOutside(str(home / "launch"))
    return start_here if request.param == "here" else start_beside


@pytest.fixture
def ignored_hangup(start_program) -> Iterator[None]:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if start_program is start_here:
        handle_ignored_signals()
    yield
    signal.signal(signal.SIGHUP, before)


def sh(text: str, **with_: object) -> Program:
    return Program(("/bin/sh", "-c", text), {"PATH": os.environ["PATH"]}, **with_)


def run(start_program, program, given=b"", **streams):
    async def scenario():
        async with asyncio.timeout(60), running(start_program, program, **streams) as process:
            out, err = await process.communicate(given)
            return process.exit_code, out, err

    return asyncio.run(scenario())


def test_a_program_reads_what_it_is_given_and_is_heard(start_program):
    text = "tr a-z A-Z; echo wrong >&2; exit 3"
    assert run(start_program, sh(text), b"hello", stdin=-1) == (3, b"HELLO", b"wrong\n")
    assert run(start_program, sh("echo a; echo b >&2"), stderr=STDOUT) == (0, b"a\nb\n", b"")
    assert run(start_program, sh("cat; kill -9 $$"))[0] == -signal.SIGKILL


def test_a_program_that_reads_nothing_of_its_input_ends_well(start_program):
    assert run(start_program, sh("exit 0"), b"x" * (1 << 20), stdin=-1)[0] == 0


def test_it_has_its_folder_and_environment_however_large_that_is(start_program, tmp_path):
    large = {f"V{n}": "x" * 100_000 for n in range(10)}
    program = Program(("/bin/sh", "-c", "pwd; umask; printf %s $V9 | wc -c"), large, str(tmp_path))
    code, out, _ = run(start_program, program)
    assert code == 0
    assert out.decode().split() == [str(tmp_path), "0022", "100000"]


def test_its_folder_may_be_one_that_is_held_open(start_program, tmp_path):
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert run(start_program, sh("pwd -P", cwd=folder))[1].decode().strip() == str(tmp_path)
    finally:
        os.close(folder)


def test_it_inherits_what_it_is_to_keep_and_no_other_file(start_program, tmp_path):
    kept = os.open(tmp_path / "kept", os.O_RDWR | os.O_CREAT)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    try:
        code, out, _ = run(start_program, sh("ls -l /proc/self/fd", keep=(kept,)))
    finally:
        os.close(kept)
        os.close(other)
    assert code == 0
    assert b"/kept" in out
    assert b"/other" not in out


def test_the_system_says_why_a_program_cannot_be_started(start_program, tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        run(start_program, Program((str(tmp_path / "none"),), {}))
    assert missing.value.filename == str(tmp_path / "none")
    (tmp_path / "text").touch()
    with pytest.raises(PermissionError):
        run(start_program, Program((str(tmp_path / "text"),), {}))


def test_a_refusal_that_comes_at_once_is_heard(home, tmp_path, monkeypatch):
    send = socket.send_fds

    def send_and_be_answered(connection, buffers, fds):
        sent = send(connection, buffers, fds)
        closed = select.poll()
        closed.register(connection, select.POLLRDHUP)
        assert closed.poll(60_000)
        return sent

    monkeypatch.setattr(socket, "send_fds", send_and_be_answered)
    with pytest.raises(FileNotFoundError):
        run(StartOutside(str(home / "launch")), Program((str(tmp_path / "none"),), {}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start programs of others")
@pytest.mark.usefixtures("ignored_hangup")
def test_it_has_the_user_that_it_is_to_have_and_nothing_of_the_daemons(start_program, tmp_path):
    """Not its rights, its umask, its groups, nor the signals that it ignores."""
    identity = {"uid": 1234, "gid": 2345, "groups": (2345, 3456), "umask": 0o027}
    text = "id -u; id -g; id -G; umask; grep -E 'Sig(Ign|Blk)|CapEff' /proc/self/status; env"
    code, out, err = run(start_program, sh(text, **identity))
    lines = out.decode().splitlines()
    assert (code, err) == (0, b"")
    assert lines[:4] == ["1234", "2345", "2345 3456", "0027"]
    blocked, ignored, rights = (int(line.split()[1], 16) for line in lines[4:7])
    ignored &= (1 << 31) - 1  # 32 and 33 are the C library's own
    assert (blocked, ignored, rights) == (0, 0, 0)
    assert {line.split("=")[0] for line in lines[7:]} <= {"PATH", "PWD", "SHLVL", "_"}
    closed = tmp_path / "closed"
    closed.write_text("#!/bin/sh\n")
    closed.chmod(0o700)
    with pytest.raises(PermissionError) as refused:
        run(start_program, Program((str(closed),), {}, **identity))
    assert refused.value.filename == str(closed)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start programs of others")
def test_the_environment_of_an_apps_user_is_not_that_of_what_becomes_him():
    """A library of his would have root's rights there."""
    program = Program(("/bin/sh", "-c", "exit 0"), {"LD_DEBUG": "libs"}, uid=1234, gid=1234)
    _, _, loaded = run(start_beside, program)
    assert b"libc." in loaded
    assert b"python" not in loaded


def test_it_is_over_when_it_is_left_with_all_that_it_has_started(start_program, tmp_path):
    async def scenario():
        text = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
        async with running(start_program, sh(text)):
            await asyncio.to_thread(eventually, lambda: _text(tmp_path / "pid"))

    asyncio.run(asyncio.wait_for(scenario(), 60))
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: is_dead(pid))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_its_number_is_its_own_until_it_is_released(start_program):
    child = start_program(sh("exit 7"), -3, -3, -3)
    try:
        eventually(lambda: child.exit_code() is not None)
        assert child.exit_code() == 7
        assert _is_zombie(child.pid)
    finally:
        child.release()
        os.close(child.pidfd)
    eventually(lambda: not Path(f"/proc/{child.pid}").exists())


def test_a_program_goes_on_when_the_launcher_is_killed_and_the_next_one_starts_others(tmp_path):
    outside = StartOutside(str(tmp_path / "launch"))
    with launcher(tmp_path) as first:
        child = outside(sh("sleep 60"), -3, -3, -3)
        first.kill()
        first.wait(60)
        assert Path(f"/proc/{child.pid}").exists()
        os.kill(child.pid, signal.SIGKILL)
        assert child.exit_code() is None  # nobody can tell
        child.release()
        os.close(child.pidfd)
    (tmp_path / "launch").unlink()
    begun = time.monotonic()
    with launcher(tmp_path):
        assert run(outside, sh("echo again"))[1] == b"again\n"
    assert time.monotonic() - begun < 30


def test_what_a_program_leaves_behind_is_the_launchers_which_buries_it(tmp_path):
    """Also one that says of nobody that it is his: in a session of its own, nothing told."""
    with launcher(tmp_path) as process:
        left = f"setsid env -i sh -c 'echo $$ >{tmp_path}/pid; exec sleep 600' & exit 0"
        run(StartOutside(str(tmp_path / "launch")), sh(left), stdout=DEVNULL, stderr=DEVNULL)
        orphan = psutil.Process(int(eventually(lambda: _text(tmp_path / "pid"))))
        eventually(lambda: orphan.ppid() == process.pid)
        orphan.kill()
        eventually(lambda: not psutil.pid_exists(orphan.pid))


def test_the_launcher_serves_no_other_user(home, neighbour):
    connect = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(60)
try:
    s.connect(sys.argv[1])
    s.sendall(b"x" * 100)
    print(s.recv(1))
except (ConnectionResetError, BrokenPipeError):
    print(b"")
except PermissionError:
    print("refused")
"""
    path = home / "launch"
    assert neighbour.python(connect, str(path)).stdout == "refused\n"
    path.chmod(0o666)  # whoever gets at it all the same is asked for by the kernel's own word
    assert neighbour.python(connect, str(path)).stdout == "b''\n"
    path.chmod(0o600)
    assert run(StartOutside(str(path)), sh("id -u"))[1] == b"0\n"


CUT = ("setpriv", "--no-new-privs", "--bounding-set", "-all,+chown,+setuid,+setgid,+kill")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that could be cut")
def test_what_is_cut_from_the_daemon_is_not_cut_from_what_it_starts(home):
    script = f"""
from portico.system.launcher import StartOutside
from portico.system.programs import Program
import os
program = Program(("/bin/grep", "-E", "CapBnd|NoNewPrivs", "/proc/self/status"), {{}})
print(open("/proc/self/status").read().partition("CapBnd:")[2].split()[0], flush=True)
child = StartOutside({str(home / "launch")!r})(program, 0, 1, 2)
while child.exit_code() is None:
    pass
"""
    done = subprocess.run(
        [*CUT, sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    mine = Path("/proc/self/status").read_text().partition("CapBnd:")[2].split()[0]
    cut, program, privileges = done.stdout.splitlines()
    assert int(cut, 16) < int(mine, 16)
    assert program.split() == ["CapBnd:", mine]
    assert privileges.split() == ["NoNewPrivs:", "0"]
