"""Changes a folder of certbot: alone, whole files only, and so that certbot leaves it alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portico.errors import Failed, Refused
from portico.importers.certbot_conf import without_renewal
from portico.system import files
from portico.system.text import read_text

_LOCK: Final = ".certbot.lock"


@contextlib.contextmanager
def without_certbot(folder: Path) -> Iterator[None]:
    """Hold certbot's own lock, so that it renews nothing meanwhile."""
    path = folder / _LOCK
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise Failed(
            f"cannot write in {folder}, to make certbot stop renewing: {error.strerror}; "
            "nothing was changed"
        ) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Refused(f"certbot is running in {folder}; try again when it has finished") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def leave_alone(conf: Path) -> None:
    """Mark a certificate so that certbot does not renew it."""
    before = read_text(conf)
    try:
        after = without_renewal(before)
    except ValueError as error:
        raise Failed(f"cannot read {conf}: {error}") from error
    if after != before:
        files.write(conf, after, conf.stat().st_mode & 0o777)
