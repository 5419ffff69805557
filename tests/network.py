"""A network of a test's own, for what would keep other programs of the machine from working."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET (unshare(2)), which Python offers from 3.12 on."""
GET_FLAGS, SET_FLAGS, IS_UP = 0x8913, 0x8914, 1
"""SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP (netdevice(7))."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network() -> Iterator[None]:
    """Sockets that this thread opens, and programs that it starts, have a loopback of their own.
    Root only.
    """
    with Path("/proc/thread-self/ns/net").open() as before:
        _done(_libc.unshare(NEW_NETWORK))
        try:
            _bring_up_loopback()
            yield
        finally:
            _done(_libc.setns(before.fileno(), NEW_NETWORK))


class Network:
    """A network of a test's own that lasts until it is closed, and as long as programs are in it.
    Root only.
    """

    def __init__(self) -> None:
        with own_network():
            self._file = Path("/proc/thread-self/ns/net").open()  # noqa: SIM115 - until `close`

    def close(self) -> None:
        self._file.close()

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._file.fileno()}"

    @property
    def words(self) -> tuple[str, ...]:
        """Before a command that is to run in it."""
        return "nsenter", f"--net={self.path}", "--"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens are in it for as long as they last."""
        with Path("/proc/thread-self/ns/net").open() as before:
            enter(self.path)
            try:
                yield
            finally:
                _done(_libc.setns(before.fileno(), NEW_NETWORK))

    def ip(self, *lines: str) -> None:
        """Run commands in it, as `ip -batch` reads them."""
        batch = ("ip", "-batch", "-")
        text = "".join(f"{line}\n" for line in lines)
        ran = subprocess.run(
            [*self.words, *batch], input=text, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{lines}: {ran.stderr}"


def thread_network() -> str:
    """Where the network of this thread is found, for `enter`."""
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


def is_in_own_network() -> bool:
    """Whether this process is in another network than its parent, and one without a way out."""
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    own, parents = (Path(f"/proc/{pid}/ns/net") for pid in ("self", os.getppid()))
    return not own.samefile(parents) and {line.split()[2] for line in routes} <= {"00000000"}


def enter(path: str) -> None:
    """For this thread, for good."""
    with Path(path).open() as network:
        _done(_libc.setns(network.fileno(), NEW_NETWORK))


def _done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, GET_FLAGS, name))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | IS_UP))
