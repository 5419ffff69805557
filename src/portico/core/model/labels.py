"""Names of apps as commands and PM2 files may write them, and the name of a project. No pydantic
here: commands start in an instant.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Final

MAX_LENGTH: Final = 50
DEFAULT_NAME: Final = "project"
"""Of a folder whose name has no letter or digit."""
_VALID_LABEL = re.compile(r"([a-z0-9_-]+/)?[a-z0-9_-]+(\.[0-9]+){0,2}")


def app_label(text: str) -> str:
    """The name here of what a PM2 file calls `text`; empty if nothing of it is left."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:MAX_LENGTH].strip("-_")


def app_or_instance(text: str) -> str:
    """What a command names: `My API` is my-api, and `web`, `web.2` or `shop/web` is itself."""
    return text if _VALID_LABEL.fullmatch(text) else app_label(text) or text


def project_name(table: Mapping[str, object], folder: str) -> str:
    """As the file says, or its folder is called."""
    if written := table.get("project"):
        return str(written)
    return app_label(posixpath.basename(home_folder(folder))) or DEFAULT_NAME


def home_folder(folder: str) -> str:
    """The folder of the project, of which every release may be in another one: `/srv/shop` of
    `/srv/shop/current` and `/srv/shop/releases/20261128`.
    """
    above, name = posixpath.split(posixpath.normpath(folder))
    if name == "current":
        return above
    further, releases = posixpath.split(above)
    return further if releases == "releases" else posixpath.join(above, name)
