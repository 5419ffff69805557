"""nginx from source: which version it is, and what it is built with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

HEADER: Final = "src/core/nginx.h"
CONFIGURE: Final = ("configure", "auto/configure")
"""Of a release and of a checkout."""
MODULES: Final = (
    # what Portico renders, and what the included nginx has for nginx lines of an operator's own
    "threads",
    "file-aio",
    "http_ssl_module",
    "http_v2_module",
    "http_v3_module",
    "http_realip_module",
    "http_auth_request_module",
    "http_gzip_static_module",
    "http_secure_link_module",
    "http_stub_status_module",
    "stream",
    "stream_ssl_module",
    "stream_ssl_preread_module",
    "stream_realip_module",
)
COMPILER_FLAGS: Final = (
    # as dpkg-buildflags has them with hardening=+all, but without symbols for debuggers
    "-O2",
    "-g0",
    "-fPIE",
    "-fstack-protector-strong",
    "-D_FORTIFY_SOURCE=2",
    "-Wformat",
    "-Werror=format-security",
)
LINKER_FLAGS: Final = ("-pie", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--as-needed")
_VERSION: Final = re.compile(
    r'^#define\s+NGINX_VERSION\s+"([0-9]{1,9}(?:\.[0-9]{1,9}){2})"', re.MULTILINE
)


def version_in(header: str) -> tuple[int, int, int] | None:
    """The version that `src/core/nginx.h` defines."""
    found = _VERSION.search(header)
    if found is None:
        return None
    major, minor, patch = found[1].split(".")
    return int(major), int(minor), int(patch)


def configure_arguments(modules: Sequence[str] = ()) -> list[str]:
    """`modules` are folders of further modules' sources. All paths are given when it runs."""
    return [
        "--prefix=.",
        *(f"--with-{each}" for each in MODULES),
        *(f"--add-module={each}" for each in modules),
        f"--with-cc-opt={' '.join(COMPILER_FLAGS)}",
        f"--with-ld-opt={' '.join(LINKER_FLAGS)}",
    ]
