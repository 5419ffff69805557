"""The path and query that a client sent, as the value of a parameter (RFC 3986 3.4).

nginx has no directive for it. A map replaces up to eight of one character, so that a few of them,
one after the other, escape all that a URL has in practice; what is left over after them passes as
it is. A map is looked up only where its value is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.render.directive import Directive, Raw, directive

ESCAPED_REQUEST_URI: Final = "portico_escaped_request_uri"
_GROUP_SIZE: Final = 8
"""nginx has $1 to $9 for what a regular expression has found."""
_ROUNDS: Final = (
    *(("%", " 25"),) * 6,  # a request has no space in it, so what is escaped is not escaped again
    *((" ", "%"),) * 6,
    *(("&", "%26"),) * 3,
    *(("+", "%2B"),) * 2,
    *((";", "%3B"), ("#", "%23")),
)
"""What means something in the value of a parameter, and what it becomes, as often as it is looked
for.
"""


def escaping_maps() -> Iterator[Directive]:
    source = "request_uri"
    for number, (char, escaped) in enumerate(_ROUNDS, start=1):
        is_last = number == len(_ROUNDS)
        target = ESCAPED_REQUEST_URI if is_last else f"{ESCAPED_REQUEST_URI}_{number}"
        lines = (_replacement(char, escaped, count) for count in range(_GROUP_SIZE, 0, -1))
        block = (directive("default", Raw(f"${source}")), *lines)
        yield directive("map", Raw(f"${source}"), Raw(f"${target}"), block=block)
        source = target


def _replacement(char: str, escaped: str, count: int) -> Directive:
    pattern = f"([^{char}]*)[{char}]" * count
    text = "".join(f"${number}{escaped}" for number in range(1, count + 1))
    return directive(f'"~^{pattern}(.*)$"', Raw(f'"{text}${count + 1}"'))
