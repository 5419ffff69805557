"""What can be seen in the text of a program without running it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

MAX_FILES: Final = 200
MAX_BYTES: Final = 1 << 20  # of a file
_READY_CALL = re.compile(
    r"process\??\.send\b|\bsend\b.*\bprocess\b|sd_notify|NOTIFY_SOCKET|READY=1|@pm2/io"
)
_IMPORTED_PATH = re.compile(r"""(?:require|import|from)\s*\(?\s*['"](\.[^'"]*)['"]""")
_ENDINGS: Final = ("", ".js", ".cjs", ".mjs", ".ts", ".json", "/index.js", "/index.ts")


def sends_ready(script: Path) -> bool:
    """Whether the script, or a file that it loads by a relative path, names process.send or
    sd_notify. True where that cannot be seen.
    """
    waiting, seen = [script.resolve()], set[Path]()
    while waiting:
        if len(seen) >= MAX_FILES:
            return True
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            with path.open("rb") as file:
                text = file.read(MAX_BYTES + 1).decode(errors="replace")
        except (OSError, ValueError):
            return True
        if len(text) > MAX_BYTES or _READY_CALL.search(text):
            return True
        loaded = (path.parent / name for name in _IMPORTED_PATH.findall(text))
        waiting += [found for each in loaded if (found := _file(each)) is not None]
    return False


def _file(path: Path) -> Path | None:
    """As Node finds it."""
    tried = (Path(f"{path}{ending}") for ending in _ENDINGS)
    return next((each.resolve() for each in tried if each.is_file()), None)
