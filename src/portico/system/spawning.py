"""Starts programs as children of this process, whose other threads go on meanwhile.

subprocess.Popen keeps the interpreter to itself until the program is executed and, for another
user, copies all page tables. posix_spawn(3) shares the memory until then, and ctypes lets other
threads have the interpreter. What posix_spawn cannot set, the user above all, `become.py` sets.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import marshal
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from portico.system import become
from portico.system.programs import STDOUT, OwnChild, Program, start_here

BECOME_PROGRAM: Final = str(Path(become.__file__))
_FIRST_LIFTED_DESCRIPTOR: Final = 10
"""Above all descriptors that a program is started with."""
_OPAQUE_SIZE: Final = 1024
"""Octets; posix_spawnattr_t has 336 in glibc and in musl, the others less."""
_SETSIGDEF, _SETSID = 0x04, 0x80  # spawn.h of both
_libc: Final = ctypes.CDLL(None)
_CALLS: Final = (
    "posix_spawn",
    "posix_spawn_file_actions_addchdir_np",
    "posix_spawn_file_actions_addfchdir_np",
    "posix_spawn_file_actions_addclosefrom_np",  # glibc 2.34
)
_HAS_SPAWN_CALLS: Final = all(hasattr(_libc, name) for name in _CALLS)


def start_beside(program: Program, stdin: int, stdout: int, stderr: int) -> OwnChild:
    """Start it as a child of this process. Implements `StartProgram`."""
    if not _HAS_SPAWN_CALLS or program.keep or "/" not in program.words[0]:
        return start_here(program, stdin, stdout, stderr)
    with ExitStack() as stack:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, null)
        out = null if stdout < 0 else stdout
        err = out if stderr == STDOUT else null if stderr < 0 else stderr
        streams = (null if stdin < 0 else stdin, out, err)
        environment = os.environ if program.environment is None else program.environment
        if _is_plain(program):
            pid = _spawn(program.words, environment, streams, program.cwd)
        else:
            pid = _spawn_as(program, environment, streams, stack)
    return OwnChild(pid)


def _is_plain(program: Program) -> bool:
    """Whether it has the user and the umask of this process."""
    identity = (program.uid, program.gid, program.groups)
    return identity == (None, None, None) and program.umask in {-1, _umask()}


def _umask() -> int:
    """Of this process (proc(5)); to ask umask(2) would change it for all threads."""
    status = Path("/proc/self/status").read_bytes()
    return int(status.partition(b"Umask:")[2].split()[0], 8)


def _spawn(
    words: Sequence[str],
    environment: Mapping[str, str],
    files: Sequence[int],
    cwd: str | int | None,
) -> int:
    """Returns the pid. `files` are its descriptors from 0 on, all that it has."""
    attributes, actions, signals = (ctypes.create_string_buffer(_OPAQUE_SIZE) for _ in range(3))
    pid = ctypes.c_int()
    with ExitStack() as stack:
        _libc.posix_spawnattr_init(attributes)
        stack.callback(_libc.posix_spawnattr_destroy, attributes)
        _libc.posix_spawn_file_actions_init(actions)
        stack.callback(_libc.posix_spawn_file_actions_destroy, actions)
        _libc.sigfillset(signals)  # nohup, a shell and Python itself ignore some
        _libc.posix_spawnattr_setsigdefault(attributes, signals)
        _libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSIGDEF | _SETSID))
        if isinstance(cwd, int):
            _libc.posix_spawn_file_actions_addfchdir_np(actions, cwd)
        elif cwd is not None:
            _libc.posix_spawn_file_actions_addchdir_np(actions, os.fsencode(cwd))
        for number, file in enumerate(files):
            lifted = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _FIRST_LIFTED_DESCRIPTOR)
            stack.callback(os.close, lifted)
            _libc.posix_spawn_file_actions_adddup2(actions, lifted, number)
        _libc.posix_spawn_file_actions_addclosefrom_np(actions, len(files))
        path = os.fsencode(words[0])
        strings = _strings(map(os.fsencode, words)), _strings(_variables(environment))
        wrong = _libc.posix_spawn(ctypes.byref(pid), path, actions, attributes, *strings)
    if wrong:
        raise OSError(wrong, os.strerror(wrong), _missing_file(words[0], cwd))
    return pid.value


def _spawn_as(
    program: Program, environment: Mapping[str, str], streams: Sequence[int], stack: ExitStack
) -> int:
    """Returns the pid, once the program is executed: until then it is `become.py`, which has the
    environment of this process, because an app's user may have written the other one.
    """
    request = os.memfd_create("program")
    stack.callback(os.close, request)
    with open(request, "wb", closefd=False) as file:
        words = [os.fsencode(word) for word in program.words]
        variables = dict(each.split(b"=", 1) for each in _variables(environment))
        identity = (program.uid, program.gid, program.groups, program.umask)
        marshal.dump((words, variables, *identity), file)
    os.lseek(request, 0, os.SEEK_SET)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    try:
        pid = _spawn(
            (sys.executable, "-I", "-S", BECOME_PROGRAM),
            os.environ,
            (*streams, request, writing),
            program.cwd,
        )
    finally:
        os.close(writing)
    said = b"".join(iter(lambda: os.read(reading, 64), b""))
    if said != b"+":
        os.waitpid(pid, 0)
        number = int(said.lstrip(b"+") or errno.ECHILD)
        file_at_fault = program.words[0] if said else BECOME_PROGRAM
        raise OSError(number, os.strerror(number), file_at_fault)
    return pid


def _missing_file(program: str, cwd: str | int | None) -> str:
    """The file because of which it could not be started, as subprocess.Popen names it."""
    folder = f"/proc/self/fd/{cwd}" if isinstance(cwd, int) else cwd
    if folder is not None and not os.access(folder, os.X_OK, effective_ids=True):
        return folder
    return program


def _variables(environment: Mapping[str, str]) -> list[bytes]:
    if any("=" in name for name in environment):
        raise ValueError("illegal environment variable name")
    return [os.fsencode(f"{name}={value}") for name, value in environment.items()]


def _strings(strings: Iterable[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """As execve(2) takes them."""
    all_of_them = list(strings)
    if any(b"\0" in each for each in all_of_them):
        raise ValueError("embedded null byte")
    return (ctypes.c_char_p * (len(all_of_them) + 1))(*all_of_them, None)
