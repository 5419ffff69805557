"""The operator's file as it is on disk now, read by the daemon to show what it would change.

Nothing in it is run: the daemon may be root, and JavaScript of a PM2 file is a program.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from portico.core.model.requests import DocumentRequest
from portico.importers.read import ECOSYSTEM, toml_table
from portico.system.rights import open_file
from portico.system.text import MAX_FILE_SIZE, file_error


def edited_document(source: str, folder: str, environ: Mapping[str, str]) -> DocumentRequest:
    """It is read with the rights of who can write its folder. Raises ConfigError. Blocks."""
    path = Path(source)
    if path.suffix != ".toml":
        raise file_error(
            path, "is not read by the daemon, which reads TOML only", "`portico plan`"
        )
    table = toml_table(path, _text(path))
    if ECOSYSTEM in table:
        raise file_error(
            path, "joins a PM2 file, which the daemon does not read", "`portico plan`"
        )
    return DocumentRequest(source=source, folder=folder, table=table, environ=environ)


def _text(path: Path) -> str:
    try:
        file = open_file(path)
        try:
            raw = os.read(file, MAX_FILE_SIZE + 1)
        finally:
            os.close(file)
        if len(raw) > MAX_FILE_SIZE:
            raise file_error(path, f"is larger than {MAX_FILE_SIZE} bytes")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise file_error(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise file_error(path, "is not UTF-8 text") from None
