"""An HTTP/1.1 server on $PORT that says who answered, and misbehaves when told to.

Answers every request with JSON: pid, port, instance, method, path, headers, body_bytes, and
`open` and `most`, the requests being answered now and at most so far, its check not counted.

In the query: `sleep=0.3` waits first, `until=file` waits for the file, `status=503` answers so,
`close=1` hangs up without an answer, `exit=3` ends the program, `size=1000` pads the answer.
`/healthz` is its check. A WebSocket's messages come back as JSON: pid, text.

In the environment, each also for one instance alone (`SLEEP_1=0.2`, counted from 0):
  SLEEP=s          every answer but the check's takes so long
  STATUS=503       every answer but the check's has this status
  START_DELAY=s    listens only after so long
  LISTEN_WHEN=name listens once a file of that name is in the log folder of its Portico
  NEVER_LISTEN=1   runs, and listens nowhere
  LISTEN_ON=port   listens there, whatever $PORT says
  UNHEALTHY=file   the check fails while the file exists
  HANG_AFTER=n     stops answering anything after so many answers
  CRASH=1          exits with code 7 at once, after saying so
  CRASH_WHEN=name  as CRASH, if a file of that name is in the log folder of its Portico
  CRASH_AFTER=s    exits with code 7 so long after the start
  LEAK=bytes       keeps so much memory for every answer
  IGNORE_SIGTERM=1 goes on
  DIE_AT_ONCE=1    ends at SIGTERM without finishing what it has
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from signal import SIG_BLOCK, SIGTERM, pthread_sigmask, sigwait

# The tests start it more than a thousand times, mostly for a request or none: what only some
# answers need is imported for them.

INSTANCE = int(os.environ.get("NODE_APP_INSTANCE", "0"))
PORT = int(os.environ.get("PORT", "3000"))


def main() -> None:
    print(f"instance {INSTANCE} starts as pid {os.getpid()}", flush=True)
    if switch("CRASH") or is_in_logs(switch("CRASH_WHEN")):
        die(7)
    time.sleep(float(switch("START_DELAY", "0")))
    while (awaited := switch("LISTEN_WHEN")) and not is_in_logs(awaited):
        time.sleep(0.02)
    if not switch("DIE_AT_ONCE"):
        pthread_sigmask(SIG_BLOCK, {SIGTERM})  # in all threads
    program = Program()
    if not switch("NEVER_LISTEN"):
        program.listen(int(switch("LISTEN_ON", str(PORT))))
    if crash_after := switch("CRASH_AFTER"):
        start(lambda: (time.sleep(float(crash_after)), die(7)))
    sigwait({SIGTERM})
    while switch("IGNORE_SIGTERM"):
        print("SIGTERM is ignored", flush=True)
        sigwait({SIGTERM})
    program.leave()
    os._exit(0)


def switch(name: str, default: str = "") -> str:
    return os.environ.get(f"{name}_{INSTANCE}", os.environ.get(name, default))


def is_in_logs(name: str) -> bool:
    return bool(name) and os.path.exists(f"{os.environ.get('PORTICO_LOGS')}/{name}")  # noqa: PTH110


def die(code: int) -> None:
    print(f"ends with code {code}", file=sys.stderr, flush=True)
    os._exit(code)


def start(task, *arguments) -> None:
    threading.Thread(target=task, args=arguments, daemon=True).start()


class Program:
    """With a thread for each connection."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._listener: socket.socket | None = None
        self._leaves = False
        self._idle: set[socket.socket] = set()
        self._open = self._most = self._answers = 0
        self._kept: list[bytes] = []

    def listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        start(self._accept, self._listener)

    def leave(self) -> None:
        """Listen no more, and finish what is open."""
        with self._state:
            self._leaves = True
            for each in self._idle | ({self._listener} if self._listener else set()):
                shut(each)
            self._state.wait_for(lambda: not self._open)

    def _accept(self, listener: socket.socket) -> None:
        while not self._leaves:
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            start(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError), connection, connection.makefile("rb") as stream:
            while self._answer_next(connection, stream):
                pass

    def _answer_next(self, connection: socket.socket, stream) -> bool:
        """Whether another request may follow."""
        with self._state:
            if self._leaves:
                return False
            self._idle.add(connection)
        try:
            request = Request(stream)
        finally:
            with self._state:
                self._idle.discard(connection)
        if key := request.headers.get("sec-websocket-key"):
            import frames  # noqa: PLC0415

            frames.echo(key, stream, connection)
            return False
        self._count(request, 1)
        try:
            return self._answer(request, connection)
        finally:
            self._count(request, -1)

    def _count(self, request: Request, number: int) -> None:
        with self._state:
            self._open += number if request.path != "/healthz" else 0
            self._most = max(self._most, self._open)
            self._state.notify_all()

    def _answer(self, request: Request, connection: socket.socket) -> bool:
        if "exit" in request.query:
            die(int(request.query["exit"]))
        if request.query.get("close"):
            return False
        with self._state:
            self._answers += 1
            number = self._answers
        if number > int(switch("HANG_AFTER", str(sys.maxsize))):
            threading.Event().wait()
        self._kept.append(b"." * int(switch("LEAK", "0")))  # written to, unlike zeros
        status = wait_and_choose_status(request)
        body = self._facts(request)
        head = (
            f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"X-Instance: {INSTANCE}\r\nX-Pid: {os.getpid()}\r\n\r\n"
        )
        connection.sendall(head.encode() + (b"" if request.method == "HEAD" else body))
        return True

    def _facts(self, request: Request) -> bytes:
        import json  # noqa: PLC0415

        facts = {
            "pid": os.getpid(),
            "port": PORT,
            "instance": INSTANCE,
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "body_bytes": request.body_bytes,
            "open": self._open,
            "most": self._most,
            "padding": "." * int(request.query.get("size", "0")),
        }
        return json.dumps(facts).encode()


def shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)


def wait_and_choose_status(request: Request) -> int:
    if request.path == "/healthz":
        unhealthy = switch("UNHEALTHY")
        return 503 if unhealthy and os.path.exists(unhealthy) else 200  # noqa: PTH110
    time.sleep(float(request.query.get("sleep", switch("SLEEP", "0"))))
    while "until" in request.query and not os.path.exists(request.query["until"]):  # noqa: PTH110
        time.sleep(0.02)
    return int(request.query.get("status", switch("STATUS", "200")))


class Request:
    """With its body read and counted. EOFError when the client has left."""

    def __init__(self, stream) -> None:
        self.method, target, _ = line_of(stream).split(" ", 2)
        self.path, _, query = target.partition("?")
        pairs = (pair.partition("=") for pair in query.split("&"))
        self.query = {name: value for name, _, value in pairs}
        self.headers: dict[str, str] = {}
        while line := line_of(stream):
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.body_bytes = skip_body(stream, self.headers)


def line_of(stream) -> str:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode("latin-1").rstrip("\r\n")


def skip_body(stream, headers: dict[str, str]) -> int:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        total = 0
        while size := int(line_of(stream).split(";")[0], 16):
            skip(stream, size + 2)
            total += size
        line_of(stream)
        return total
    length = int(headers.get("content-length", "0"))
    skip(stream, length)
    return length


def skip(stream, size: int) -> None:
    while size:
        chunk = stream.read(min(size, 65536))
        if not chunk:
            raise EOFError
        size -= len(chunk)


if __name__ == "__main__":
    main()
