"""Serves a folder as PM2's `serve` does, on a port of its own: `python -m` this, with PM2_SERVE_*.

For PM2 files whose folder is reached without nginx. Behind a site nginx serves the folder itself.
"""

from __future__ import annotations

import base64
import hmac
import http.server
import os
import posixpath
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

DEFAULT_PORT: Final = 8080
DEFAULT_HOMEPAGE: Final = "index.html"
IDLE_TIMEOUT: Final = 60.0  # seconds of a connection


@dataclass(frozen=True, slots=True)
class FolderSettings:
    path: str
    spa: bool = False
    homepage: str = DEFAULT_HOMEPAGE
    """A path in the folder."""
    authorization: str = ""
    """What a client has to send; empty if nothing."""


def folder_settings(environ: Mapping[str, str]) -> FolderSettings:
    homepage = environ.get("PM2_SERVE_HOMEPAGE") or DEFAULT_HOMEPAGE
    user, password = (
        environ.get(f"PM2_SERVE_BASIC_AUTH_{n}", "") for n in ("USERNAME", "PASSWORD")
    )
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    return FolderSettings(
        environ.get("PM2_SERVE_PATH") or ".",
        environ.get("PM2_SERVE_SPA") == "true",
        posixpath.normpath(f"/{homepage}").lstrip("/"),
        f"Basic {secret}" if environ.get("PM2_SERVE_BASIC_AUTH") == "true" else "",
    )


class FolderHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT

    def __init__(self, settings: FolderSettings, *args: Any) -> None:
        self._settings = settings
        super().__init__(*args, directory=settings.path)

    def send_head(self) -> BytesIO | BinaryIO | None:
        """Of a GET or HEAD."""
        if not self._is_allowed():
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="restricted"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        file = Path(self.translate_path(self.path))
        below = file.relative_to(Path(self.directory)).parts
        if any(part.startswith(".") and part != ".well-known" for part in below):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        is_folder = file.is_dir() and (file / DEFAULT_HOMEPAGE).is_file()
        if not is_folder and (not file.is_file() if self._settings.spa else not below):
            self.path = f"/{self._settings.homepage}"
        return super().send_head()

    def list_directory(self, path: object) -> None:  # noqa: ARG002 - of the library
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Requests are not logged, and errors are."""

    def _is_allowed(self) -> bool:
        wanted = self._settings.authorization
        given = self.headers.get("Authorization", "")
        return not wanted or hmac.compare_digest(given.encode(), wanted.encode())


def main() -> None:
    port = os.environ.get("PM2_SERVE_PORT", "")
    address = (
        os.environ.get("PM2_SERVE_HOST") or "0.0.0.0",  # noqa: S104 - as PM2's does
        int(port) if port.isdecimal() else DEFAULT_PORT,
    )
    handler = partial(FolderHandler, folder_settings(os.environ))
    with http.server.ThreadingHTTPServer(address, handler) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
