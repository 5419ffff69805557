"""Paths in nginx's files, and how they are written in ours."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Final

from portico.core.model.nginx_lines import Line

CONFIGURATION: Final = "/etc/nginx"
PREFIX: Final = "/usr/share/nginx"
"""Debian's; where `root html` is."""


def beside_nginx(path: str, line: Line) -> str:
    """A relative one starts at the folder of nginx.conf."""
    if path.startswith("/"):
        return path
    beside = Path(line.file).parent / path
    return str(beside) if beside.exists() else os.path.join(CONFIGURATION, path)  # noqa: PTH118


def from_prefix(path: str) -> str:
    """A relative root starts at the folder that nginx was built for."""
    return os.path.join(PREFIX, path)  # noqa: PTH118 - keeps a path without normalizing


def shown_from(folder: Path, path: str) -> str:
    """As the operator would write it in a file of that folder."""
    if not path.startswith("/"):
        return path
    whole = Path(os.path.normpath(path))
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else path
