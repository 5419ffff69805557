"""An app's name as commands and PM2 files may write it. No pydantic here: commands start in an
instant.
"""

from __future__ import annotations

import re
from typing import Final

MAX_LENGTH: Final = 50
_ALREADY = re.compile(r"[a-z0-9_-]+(\.[0-9]+){0,2}")


def app_label(text: str) -> str:
    """The name here of what a PM2 file calls `text`; empty if nothing of it is left."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:MAX_LENGTH].strip("-_")


def app_or_instance(text: str) -> str:
    """What a command names: `My API` is my-api, and `web` or `web.2` is itself."""
    return text if _ALREADY.fullmatch(text) else app_label(text) or text
