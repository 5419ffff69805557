"""Sends one request, and ends with what is wrong: `python -I -m <this module> < request`."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
from typing import Final
from urllib.parse import urlsplit

_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
_MAX_SHOWN_BYTES: Final = 120


def main() -> None:
    request = json.load(sys.stdin)
    try:
        wrong = send(request)
    except (OSError, http.client.HTTPException, ValueError) as error:
        wrong = f"{_host(request['url'])}: {str(error) or type(error).__name__}"
    if wrong:
        sys.exit(wrong)


def send(request: dict[str, object]) -> str | None:
    """None where the server has taken it."""
    url, timeout = urlsplit(str(request["url"])), float(str(request["timeout"]))
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        trust = ssl.create_default_context(cafile=str(request["authorities"]))
        connection = http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=timeout, context=trust
        )
    else:
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    body = base64.b64decode(str(request["body"]))
    connection.request("POST", target, body, dict(request["headers"]))  # type: ignore[call-overload]  # as sent
    answer = connection.getresponse()
    if answer.status in _OK:
        return None
    if answer.status in _REDIRECTS:
        return f"{url.hostname} answered {answer.status}; redirects are not followed"
    said = " ".join(answer.read(_MAX_SHOWN_BYTES).decode(errors="replace").split())
    return f"{url.hostname} answered {answer.status}: {said}".rstrip(": ")


def _host(url: object) -> str:
    """The rest of a URL may be a secret."""
    return urlsplit(str(url)).hostname or "the URL"


if __name__ == "__main__":
    main()
