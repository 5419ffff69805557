"""What an instance has sent that is no answer to what it was asked."""

from __future__ import annotations


class NotSpoken(Exception):
    """It does not speak the protocol that it was asked in."""

    def __init__(self, protocol: str, data: bytes) -> None:
        # RFC 8446 5.1: an alert or a handshake.
        is_tls = data[:2] in {b"\x15\x03", b"\x16\x03"}
        what = "speaks TLS" if is_tls else f"sent {data[:20]!r}"
        super().__init__(f"is no {protocol}: it {what}")
