"""Shows nginx which tokens of HTTP-01 are ours, where a program of the site answers others."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import refusal_failure, setup_failure
from portico.adapters.acme.methods import Http

_MAX_AGE: Final = 86400.0
"""Seconds after which a file is that of a run that was killed."""
_is_token = re.compile(r"[-_a-zA-Z0-9]{1,255}").fullmatch


@contextlib.contextmanager
def waited_for(method: Http, *tokens: str, context: RunContext) -> Iterator[None]:
    """Raises AcmeFailure when nginx cannot be shown, or for what is not a token."""
    folder = Path(method.tokens)
    if not all(map(_is_token, tokens)):  # a path of the authority's would be written to
        raise refusal_failure("the authority's token for http-01 is not base64url (RFC 8555 8.3)")
    files = [folder / token for token in tokens] if method.tokens else []
    try:
        if files:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o711)  # nginx's workers look there for a name
            _remove_stale(folder, context.now() - _MAX_AGE)
        for each in files:
            each.touch(mode=0o644)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise setup_failure(f"cannot answer http-01: {error.filename}: {why}") from error
    try:
        yield
    finally:
        for each in files:
            each.unlink(missing_ok=True)


def _remove_stale(folder: Path, oldest: float) -> None:
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if each.stat().st_mtime < oldest:
                each.unlink()
