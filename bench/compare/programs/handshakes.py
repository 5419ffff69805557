"""Opens one TLS connection after the other, with one request each, and counts them.

handshakes.py PORT NAME SECONDS full|resumed; prints connections and how many were resumed.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time


def main(port: int, name: str, seconds: float, *, resumed: bool) -> None:
    context = ssl._create_unverified_context()  # noqa: SLF001 - it is signed by itself
    request = f"GET /constant HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
    session, count, reused = None, 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name, session=session) as connection,
        ):
            connection.sendall(request)
            while connection.recv(65536):
                pass
            reused += connection.session_reused
            session = connection.session if resumed else None
        count += 1
    print(count, reused)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), resumed=sys.argv[4] == "resumed")
