"""A network of a test's own, for what would keep other programs of the machine from working."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
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


def _done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, GET_FLAGS, name))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | IS_UP))
