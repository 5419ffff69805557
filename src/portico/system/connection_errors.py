"""Why a connection has failed, for operators."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Final

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")
"""asyncio puts the errors of all addresses into one text."""


def connection_error(error: OSError) -> str:
    """Without the numbers, the addresses and the places in the source that its text has."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS fails: {(error.reason or str(error)).replace('_', ' ').lower()}"
        case socket.gaierror():
            return error.strerror or str(error)
        case TimeoutError():
            return "it does not answer in time"
        case _:
            found = _NUMBER.search(str(error))
            return os.strerror(int(found[1])) if found else error.strerror or str(error)
