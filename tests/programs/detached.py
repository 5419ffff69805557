"""A program whose work is done by a child in a session of its own, which outlives it.

The child answers on $PORT with JSON: `pid`, and `parent`, the process that Portico has started.
The parent of the child ends at once, as that of a daemon does. argv[1] is `orphan`, or `unmarked`
for one whose environment is empty besides.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time


def serve(port: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        try:
            with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
                answer(listener)
        except OSError:  # as one that is begun before the one before has ended
            time.sleep(0.1)


def answer(listener: socket.socket) -> None:
    body = f'{{"pid": {os.getpid()}, "parent": {int(sys.argv[3])}}}'
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    while True:
        connection, _ = listener.accept()
        connection.settimeout(60)
        try:
            received = b""
            while not received.endswith(b"\r\n\r\n") and (more := connection.recv(4096)):
                received += more
            connection.sendall((head + body).encode())
        except OSError:  # the client has left
            pass
        connection.close()


if __name__ == "__main__" and sys.argv[1] == "serve":
    serve(int(sys.argv[2]))

manner, leader = sys.argv[1], os.getpid()
environment = {} if manner == "unmarked" else dict(os.environ)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        own = (sys.executable, __file__, "serve", os.environ["PORT"], str(leader))
        os.execve(sys.executable, own, environment)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
