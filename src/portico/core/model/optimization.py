"""How fast and how safe a build of nginx is, as far as the binary says."""

from __future__ import annotations

import re
from typing import Final

from portico.core.model.openssl import unsupported_since
from portico.core.model.place import Build

SPEEDUP: Final = "1.5 to 2 times"
"""Processor time of a request on the bundled nginx, against one built with -O2 on the same machine
(docs/decisions/0005)."""
_LEVEL: Final = re.compile(r"(?<![\w,-])-O(\w*)")
_UNSET_FLAG: Final = "-O"
"""What nginx's own configure passes to gcc and clang; what is given follows it and counts."""
_FAST_FLAGS: Final = frozenset({"-O2", "-O3", "-O4", "-Ofast"})


def optimization(build: Build) -> str:
    """The compiler's option, `-O2`; empty where `nginx -V` says nothing of how it was built."""
    if not build.arguments:
        return ""
    levels = _LEVEL.findall(build.arguments)
    return f"-O{levels[-1]}" if levels else _UNSET_FLAG


def is_optimized(build: Build) -> bool:
    return optimization(build) in _FAST_FLAGS


def is_debugging(build: Build) -> bool:
    """Whether it has nginx's debugging log, which it asks for at many places."""
    return "--with-debug" in build.arguments.split()


def gain(used: Build, other: Build) -> str:
    """What the other one would bring; empty where nothing was measured that tells."""
    if not used.bundled or not is_optimized(other):
        return ""
    return f"the included nginx needs {SPEEDUP} the processor time per request"


def nginx_warning(build: Build, now: float) -> str:
    """Said of the nginx that came with Portico; that of a system is kept safe by the system."""
    if not build.bundled:
        return ""
    since = unsupported_since(build.openssl, now)
    old = f" has {build.openssl}, unsupported since {since}, and" if since else ""
    return (
        f"the nginx included with Portico{old} needs {SPEEDUP} the processor time per request of "
        "one built for speed: install nginx.org's, or `portico nginx build` one (docs/nginx.md)"
    )
