"""A TCP server at argv[1] or $PORT, on argv[2] or 127.0.0.1, that never answers."""

from __future__ import annotations

import os
import signal
import socket
import sys

port = int(sys.argv[1] if sys.argv[1:] else os.environ["PORT"])
host = sys.argv[2] if sys.argv[2:] else "127.0.0.1"
kind = socket.AF_INET6 if ":" in host else socket.AF_INET
server = socket.socket(kind, socket.SOCK_STREAM)
server.bind((host, port))
server.listen()
print(f"listens on {port}", flush=True)
signal.pause()
