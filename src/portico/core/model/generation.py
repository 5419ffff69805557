"""A tested generation of nginx's files, and the sockets that nginx keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ReservedSockets(NamedTuple):
    """Open sockets that keep an address for whoever inherits them: nginx, that of discovery."""

    address: str = ""
    sockets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TestedGeneration:
    """A generation that nginx has tested and that can be switched to."""

    number: int
    fingerprint: str
