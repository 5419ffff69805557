"""gRPC on $PORT, with bytes as messages so that no generated code is needed.

`/echo.Echo/Say` answers `PID:` and the message, with 6 KiB of metadata; `/echo.Echo/Count` streams
the numbers up to the one in the message; `/echo.Echo/Join` takes a stream and answers all its
messages as one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc


def say(message: bytes, call: grpc.ServicerContext) -> bytes:
    call.send_initial_metadata((("padding", "x" * 6144),))
    return b"%d:%b" % (os.getpid(), message)


def count(message: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
    for number in range(1, int(message) + 1):
        yield b"%d" % number


def join(messages: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
    return b"".join(messages)


def started(port: int) -> tuple[grpc.Server, int]:
    """The port is chosen where it is 0."""
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Join": grpc.stream_unary_rpc_method_handler(join),
    }
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", handlers),))
    chosen = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, chosen


def main() -> None:
    server, _ = started(int(os.environ["PORT"]))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
