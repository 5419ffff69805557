"""The answer to HTTP-01 (RFC 8555 8.3), by nginx itself and without a file.

Every token is answered with the thumbprint of our account's key: only who holds that key can
make use of it, and nothing has to be known of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.model.place import RenderContext
from portico.core.render.directive import Directive, Raw, d

PATH = r'"^/\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$"'


def challenge_answer(context: RenderContext) -> Iterator[Directive]:
    """A location for every server of plain HTTP, open to all, ahead of redirect and gate."""
    if not context.thumbprint:
        return
    yield d(
        "location",
        "~",
        Raw(PATH),
        block=(
            d("allow", "all"),
            d("auth_basic", "off"),
            d("default_type", "text/plain"),
            d("return", "200", Raw(f'"$1.{context.thumbprint}"')),
        ),
    )
