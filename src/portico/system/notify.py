"""Reports the state of this process to systemd: sd_notify(3), without a library."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

MICROSECONDS: Final = 1_000_000


class Notify:
    """Does nothing without NOTIFY_SOCKET."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        watchdog = environ.get("WATCHDOG_USEC", "")
        self.watchdog_interval = int(watchdog) / MICROSECONDS / 3 if watchdog.isdigit() else None
        """Seconds between two pings, where systemd expects them."""

    @property
    def is_supervised(self) -> bool:
        return bool(self._address)

    def ready(self) -> None:
        self._send("READY=1")

    def ping_watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # the abstract namespace of unix(7)
            address = "\0" + address[1:]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), address)
