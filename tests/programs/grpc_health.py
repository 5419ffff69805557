"""gRPC on $PORT with grpc.health.v1: the server serves, and so does service `up`; `down` does not.

With an argument it has no such service, and answers UNIMPLEMENTED to everything.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

STATUS = {b"": b"\x08\x01", b"\x0a\x02up": b"\x08\x01", b"\x0a\x04down": b"\x08\x02"}


def check(message: bytes, context: grpc.ServicerContext) -> bytes:
    if message not in STATUS:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return STATUS[message]


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    if len(sys.argv) == 1:
        handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        service = grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers)
        server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.start()
    print("listens", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
