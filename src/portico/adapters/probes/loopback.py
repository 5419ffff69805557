"""One probe of an instance at 127.0.0.1: a TCP connection, an HTTP/1.1 request, or gRPC.

That is where nginx asks, so an instance that only answers elsewhere is not well.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from portico.adapters.probes.connection import AnswerTooLong, Connection, WrongProtocol, connect
from portico.adapters.probes.http import ask_http
from portico.core.model.check import Check


class LoopbackProbes:
    async def probe(self, check: Check, port: int) -> str | None:
        try:
            async with asyncio.timeout(check.limit), connect(port) as connection:
                return await _ask(check, port, connection)
        except TimeoutError:
            return f"no answer within {check.limit:g}s"
        except ConnectionRefusedError:
            return await _listening_problem(port)
        except (ConnectionError, EOFError):
            return "closed the connection without answering"
        except (WrongProtocol, AnswerTooLong) as error:
            return str(error)
        except OSError as error:
            return f"cannot connect to port {port}: {error.strerror or error}"


async def _ask(check: Check, port: int, connection: Connection) -> str | None:
    if check.grpc:
        from portico.adapters.probes.grpc import ask_grpc  # noqa: PLC0415 - h2 is 2 MB, and rarely used

        return await ask_grpc("" if check.grpc is True else check.grpc, port, connection)
    return await ask_http(check, port, connection) if check.path else None


async def _listening_problem(port: int) -> str:
    """An app that listens on `localhost` may have got ::1 for it, and nothing else."""
    with suppress(OSError):
        async with asyncio.timeout(1), connect(port, "::1"):
            return f"listens on [::1]:{port} only; make it listen on 127.0.0.1"
    return f"nothing listens on port {port}"
