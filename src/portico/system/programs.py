"""Starts programs: as children of this process or, where its own rights are cut, by the launcher.

What systemd takes away from the daemon's unit, a program that the daemon itself started would miss
too, and for good (no_new_privs, seccomp(2), the bounding set of capabilities(7)). So under such a
unit every program is started by `launcher`, which is a unit of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from asyncio import StreamReader
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

PIPE: Final = subprocess.PIPE
DEVNULL: Final = subprocess.DEVNULL
STDOUT: Final = subprocess.STDOUT
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of what is started without an operator's shell, hooks above all: `service`, `postfix` and
what is installed by hand are found."""
KILL_TIMEOUT: Final = 1.0
"""Seconds after SIGKILL. What is not gone then waits in the kernel, for a disk perhaps."""
MAX_LINE_LENGTH: Final = 1 << 16
MAX_OUTPUT_KEPT: Final = 1 << 16
"""Bytes of an output, which a program could write for ever."""
_READ_SIZE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Program:
    """A program file and all that it is started with. It leads a session of its own."""

    words: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    """None is that of this process."""
    cwd: str | int | None = None
    """A path, or a descriptor of the folder; None is that of who starts it."""
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    umask: int = -1
    """-1 is that of who starts it."""
    keep: tuple[int, ...] = ()
    """File descriptors that it inherits beside the three."""


class Child(Protocol):
    """A program that was started. Its number stays its own until it was released."""

    pid: int
    pidfd: int
    """The caller's to close."""

    def exit_code(self) -> int | None:
        """The negative number of the signal where one ended it. None while it runs, and where
        nobody can tell.
        """

    def release(self) -> None:
        """Let the system forget it as soon as it has ended (wait(2))."""


class StartProgram(Protocol):
    def __call__(self, program: Program, stdin: int, stdout: int, stderr: int) -> Child:
        """Start it with these file descriptors (or DEVNULL, or STDOUT for its errors).

        It blocks for as long as fork and exec take. Raises OSError as `subprocess.Popen` does,
        with the name of the file that is at fault.
        """


class OwnChild:
    def __init__(self, pid: int) -> None:
        self.pid, self.pidfd = pid, os.pidfd_open(pid)

    def exit_code(self) -> int | None:
        return _poll(self.pid, os.WNOWAIT)

    def release(self) -> None:
        _poll(self.pid, 0)


def start_here(program: Program, stdin: int, stdout: int, stderr: int) -> OwnChild:
    """Start it as a child of this process. Implements `StartProgram`."""
    cwd = f"/proc/self/fd/{program.cwd}" if isinstance(program.cwd, int) else program.cwd
    child = subprocess.Popen(  # noqa: S603 - words, and no shell
        program.words,
        cwd=cwd,
        env=program.environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        umask=program.umask,
        user=program.uid,
        group=program.gid,
        extra_groups=program.groups,
        pass_fds=program.keep,
    )
    # From here on a pidfd watches it. Popen must neither wait for it nor warn that it runs.
    child.returncode = 0
    return OwnChild(child.pid)


def handle_ignored_signals() -> None:
    """A signal that is ignored stays so over exec; one that is handled does not (execve(2)).

    nohup, and a shell that runs this in the background, start it with some ignored. Those
    that Python itself ignores are put right by Popen.
    """
    for each in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(each) is signal.SIG_IGN:
            signal.signal(each, lambda _signal, _frame: None)


def _poll(pid: int, options: int) -> int | None:
    try:
        seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | options)
    except ChildProcessError:
        return None
    if seen is None:
        return None
    return seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status


class RunningProgram:
    """A program that this process talks to through pipes until it ends."""

    def __init__(self, child: Child) -> None:
        self.pid, self._child = child.pid, child
        self.exit_code: int | None = None
        """As that of `Child`; -1 where nobody can tell."""
        self.stdout: StreamReader | None = None
        self.stderr: StreamReader | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._pipes: list[asyncio.ReadTransport | asyncio.WriteTransport] = []
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(child.pidfd, self._note_end)

    async def wait(self) -> int:
        await self._ended.wait()
        if self.exit_code is None:
            code = await asyncio.to_thread(self._child.exit_code)
            self.exit_code = -1 if code is None else code
        return self.exit_code

    async def communicate(
        self, data: bytes = b"", max_output: int = MAX_OUTPUT_KEPT
    ) -> tuple[bytes, bytes]:
        """Give it its whole input, read its output and its errors to their ends, and wait. Of
        each the last `max_output` bytes are kept.
        """
        self.write_input(data)
        out, err, _ = await asyncio.gather(
            read_tail(self.stdout, max_output), read_tail(self.stderr, max_output), self.wait()
        )
        return out, err

    def write_input(self, data: bytes) -> None:
        """Write its whole standard input. It may end without having read all of it."""
        if self._stdin is not None:
            self._stdin.write(data)
            self._stdin.write_eof()

    def write(self, data: bytes) -> None:
        """Write a part of its standard input. It may have ended."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    async def end(self) -> None:
        """Kill it and its process group, unless it has ended well. Its pipes are let go,
        whoever holds their other ends.
        """
        if self.exit_code != 0:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        for pipe in self._pipes:
            pipe.close()
        if self._stdin is not None and self._stdin.get_write_buffer_size():
            self._stdin.abort()  # it has not read all of it, and nobody waits for that
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT):
                await self.wait()
        asyncio.get_running_loop().remove_reader(self._child.pidfd)
        os.close(self._child.pidfd)
        await asyncio.to_thread(self._child.release)

    async def connect(self, ends: Mapping[int, int], limit: int) -> None:
        """Take over this process's ends of pipes, by the descriptor that each is there."""
        loop = asyncio.get_running_loop()
        if 0 in ends:
            self._stdin, _ = await loop.connect_write_pipe(
                asyncio.BaseProtocol, os.fdopen(ends[0], "wb", 0)
            )
        self.stdout, self.stderr = [
            await self._reader(ends[number], limit) if number in ends else None
            for number in (1, 2)
        ]

    async def _reader(self, end: int, limit: int) -> StreamReader:
        reader = StreamReader(limit)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(end, "rb", 0)
        )
        self._pipes.append(pipe)
        return reader

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._child.pidfd)
        self._ended.set()


@asynccontextmanager
async def running(
    start_program: StartProgram,
    program: Program,
    *,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
    limit: int = MAX_LINE_LENGTH,
) -> AsyncIterator[RunningProgram]:
    """Start a program; on leaving it is over, as `RunningProgram.end` says.

    Its streams are PIPE, DEVNULL or, for `stderr`, STDOUT. `limit` is the length of a line.
    Raises OSError as `StartProgram`.
    """
    ours, its = dict[int, int](), [stdin, stdout, stderr]
    for number, stream in enumerate(its):
        if stream == PIPE:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            its[number], ours[number] = (reading, writing) if number == 0 else (writing, reading)
    try:
        child = await _launch(start_program, program, its)
    except BaseException:
        for end in ours.values():
            os.close(end)
        raise
    finally:
        for number in ours:
            os.close(its[number])
    process = RunningProgram(child)
    try:
        await process.connect(ours, limit)
        yield process
    finally:
        await process.end()


async def _launch(start_program: StartProgram, program: Program, streams: Sequence[int]) -> Child:
    """Whole or not at all: nobody else would ever end what a cancelled start has begun."""
    job = asyncio.ensure_future(asyncio.to_thread(start_program, program, *streams))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        with suppress(OSError):
            await RunningProgram(await job).end()
        raise


async def read_tail(stream: StreamReader | None, max_output: int) -> bytes:
    """The last bytes of what a program says, once nobody holds it open any more."""
    kept = bytearray()
    while stream and (data := await stream.read(_READ_SIZE)):
        kept += data
        del kept[:-max_output]
    return bytes(kept)
