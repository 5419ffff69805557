"""Variables of nginx in values of headers: `$host`, `${remote_addr}`. `$$` is a dollar sign."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

VARIABLES: Final = (
    *("args", "host", "https", "msec", "query_string", "remote_addr", "remote_port"),
    *("remote_user", "request_id", "request_method", "request_time", "request_uri", "scheme"),
    *("server_name", "server_port", "server_protocol", "ssl_cipher", "ssl_protocol"),
    *("ssl_server_name", "time_iso8601", "uri", "upstream_addr", "upstream_response_time"),
    "upstream_status",
)
FAMILIES: Final = ("arg_", "cookie_", "http_", "upstream_http_")
"""Each of these with a name after it: `$http_user_agent`."""
_REFERENCE: Final = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def unknown_variables(text: str) -> Iterator[str]:
    """The names after a `$` that are no variable to use in a header."""
    for found in _REFERENCE.finditer(text):
        name = found[2] or found[3]
        if name and not _is_known(name):
            yield name


def expand(text: str, plain: Callable[[str], str], variable: Callable[[str], str]) -> str:
    """The text with its parts put together again: what is `plain`, and each `variable`."""
    parts, end = [], 0
    for found in _REFERENCE.finditer(text):
        name = found[2] or found[3]
        parts.append(plain(text[end : found.start()]))
        parts.append(variable(name) if name and _is_known(name) else plain(found[1] or found[0]))
        end = found.end()
    return "".join((*parts, plain(text[end:])))


def _is_known(name: str) -> bool:
    return name in VARIABLES or any(
        name.startswith(family) and len(name) > len(family) for family in FAMILIES
    )
