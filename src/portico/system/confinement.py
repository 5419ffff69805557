"""A process that gives away all rights that it does not need."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38  # prctl(2)
_PR_CAPBSET_DROP: Final = 24
_VERSION_3: Final = 0x20080522  # capset(2)
_LAST_CAPABILITY: Final = 63
OOM_SCORE: Final = 500
"""As much sooner is it ended than the daemon, where memory runs out (proc(5))."""


def drop_rights() -> None:
    """Keep the user, and nothing that makes one powerful: no capability, now or by any program
    that it starts.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() == 0:
        for number in range(_LAST_CAPABILITY + 1):
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
        libc.capset(header, (ctypes.c_uint32 * 6)())
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), "ascii")
