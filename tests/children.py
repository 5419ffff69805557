"""Children of a daemon of tests by a fork of a Python that has imported all of theirs: each is a
process of its own, as any other, for a tenth of the processor time that its start takes.

`python -m tests.children MODULE` reads requests from the socket that is its standard input. Each
brings an answering socket, the three standard streams and the network; the answer is the child's
pid and, when it has ended, its exit code. Until the answering socket is closed its pid stays its.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from portico.system import programs
from portico.system.programs import Child, Program
from tests.network import enter

MODULES = (
    "portico.adapters.acme.child.main",
    "portico.adapters.certificates.child",
    "portico.adapters.traffic.child.main",
    "portico.adapters.vault.child",
)
LATE = {
    "portico.adapters.acme.child.main": (
        "portico.adapters.acme.child.challenges.dns.publishing",
        "portico.adapters.acme.child.checks.preflight",
    ),
    "portico.adapters.certificates.child": (
        "portico.adapters.certificates.account_keys",
        "portico.adapters.certificates.facts",
        "portico.adapters.certificates.machines",
        "portico.adapters.certificates.own_pairs",
    ),
}
"""What only some children import."""
MAX_REQUEST_SIZE = 1 << 16


class ForkedChild:
    """Implements `programs.Child`."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = int(answers.recv(64))
        self.pidfd = os.pidfd_open(self.pid)

    def exit_code(self) -> int | None:
        answer = self._answers.recv(64)
        return int(answer) if answer else None

    def release(self) -> None:
        self._answers.close()


def fork_children() -> None:
    """From now on whoever imports `programs.start_here` starts children by forks; other programs
    as before.
    """
    parents = {module: _start_parent(module) for module in MODULES}
    start_here = programs.start_here

    def start(program: Program, stdin: int, stdout: int, stderr: int) -> Child:
        before, rest = program.words[:3], program.words[3:]
        if before == (sys.executable, "-I", "-m") and rest[0] in parents:
            return _fork(parents[rest[0]], rest[1:], (stdin, stdout, stderr))
        return start_here(program, stdin, stdout, stderr)

    programs.start_here = start


def _start_parent(module: str) -> socket.socket:
    """It imports the module when it is asked for the first child."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        words = (sys.executable, "-m", __name__, module)
        subprocess.Popen(
            words, stdin=its, stdout=subprocess.DEVNULL, start_new_session=True
        )  # what interrupts the tests does not end children
    return ours


def _fork(parent: socket.socket, words: Sequence[str], streams: Sequence[int]) -> ForkedChild:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps([dict(os.environ), str(Path.cwd()), words]).encode()
    with its, Path("/proc/thread-self/ns/net").open() as network:
        files = [its.fileno(), *streams, network.fileno()]
        socket.send_fds(parent, [request], files)
    return ForkedChild(ours)


def _serve(module: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that look after a child
    requests = socket.socket(fileno=os.dup(0))
    while True:
        request, files, _, _ = socket.recv_fds(requests, MAX_REQUEST_SIZE, 5)
        if not request:
            return
        if module not in sys.modules:
            _import_all(module)
        if os.fork() == 0:
            answers, *others = files
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if child := os.fork():
                _look_after(child, socket.socket(fileno=answers), others)
                os._exit(0)
            environ, folder, words = json.loads(request)
            _become(environ, folder, others)
            sys.argv = [module, *words]
            sys.modules[module].main()
            sys.stdout.flush()
            os._exit(0)  # to take all that is imported down would cost as much again
        for file in files:
            os.close(file)


def _import_all(module: str) -> None:
    for each in (module, *LATE.get(module, ())):
        importlib.import_module(each)
    gc.collect()
    gc.freeze()


def _look_after(child: int, answers: socket.socket, others: Sequence[int]) -> None:
    for file in (0, *others):  # else nobody would see the end of the child's output
        os.close(file)
    answers.send(b"%d" % child)
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert ended
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    try:
        answers.send(b"%d" % code)
        answers.recv(1)
    except OSError:
        pass  # the daemon has ended before


def _become(environ: Mapping[str, str], folder: str, files: Sequence[int]) -> None:
    *streams, network = files
    os.setsid()
    if os.geteuid() == 0:
        enter(f"/proc/self/fd/{network}")
    for number, file in enumerate(streams):
        os.dup2(file, number)
    os.closerange(3, 1 << 10)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as this process
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    _serve(sys.argv[1])
