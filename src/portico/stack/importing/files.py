"""root, alias, index, try_files, autoindex and expires as a folder of ours."""

from __future__ import annotations

import re
from typing import Final

from portico.stack.importing.part import Part
from portico.stack.importing.paths import from_prefix
from portico.stack.importing.values import duration

_PLAIN_PATH: Final = re.compile(r"\$\{?uri\}?(/|/index\.html?)?")
_MAX_AGE: Final = "3650d"
_OFF_VALUES: Final = frozenset({"off", "epoch", "-1", "0"})


def folder_of(part: Part) -> tuple[str | dict[str, object], str] | None:
    """The folder, and the named location that takes what no file answers, empty if none does.

    None where no key of ours says it, or where there is no folder.
    """
    path = _path(part)
    tried = _try_files(part)
    if path is None or tried is None:
        return None
    table, fallback = tried
    if fallback and table:
        return None
    index = _index(part)
    if index is None:
        return None
    if index != "index.html":
        table.setdefault("index", index)
    if part.argument("autoindex") == "on" and not (fallback or table.get("spa")):
        table["listing"] = True
    if not _expires(table, part):
        return None
    return ({"path": path, **table} if table else path), fallback


def _path(part: Part) -> str | None:
    """As our key has it: for a prefix the folder that it stands for, else the root."""
    alias, root = next(part.own_lines("alias"), None), part.first("root")
    prefix = re.fullmatch(r"(?:\^~ )?(/.*)", part.path)
    if alias is not None:
        text = (from_prefix(alias.args[0]).rstrip("/") or "/") if alias.args else "$"
        return text if "$" not in text and prefix and part.path != "/" else None
    if root is None or not root.args or "$" in root.args[0]:
        return None
    base = from_prefix(root.args[0])
    inner = prefix[1] if prefix else ""
    return (base.rstrip("/") + inner).rstrip("/") or "/"


def _try_files(part: Part) -> tuple[dict[str, object], str] | None:
    line = next(part.own_lines("try_files"), None)
    if line is None or not line.args:
        return {}, ""
    *words, last = line.args
    table: dict[str, object] = {}
    for word in words:
        if word in {"$uri.html", "${uri}.html"}:
            table["clean_urls"] = True
        elif not _PLAIN_PATH.fullmatch(word):
            return None
    if last == "=404":
        return table, ""
    if last.startswith("@"):
        return table, last
    page = re.fullmatch(r"(/(?:.*/)?)([A-Za-z0-9_.-]+\.html?)(\?\$?\w+|\$is_args\$args)?", last)
    own = part.path.removeprefix("^~ ").rstrip("/") + "/"
    if page and page[1] == own and part.path.startswith(("/", "^~")):
        table["spa"] = True
        if page[2] != "index.html":
            table["index"] = page[2]
        return table, ""
    return None


def _index(part: Part) -> str | None:
    """The first one: others are for programs, or for folders that have none."""
    line = part.first("index")
    names = [name for name in (line.args if line else ()) if not name.startswith("/")]
    if any(not re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names):
        return None
    if not names:
        return "index.html"
    if names[0].endswith(".php"):
        return None
    return "index.html" if "index.html" in names else names[0]


def _expires(table: dict[str, object], part: Part) -> bool:
    line = part.first("expires")
    if line is None or line.args[:1] in (("off",), ()):
        return True
    if len(line.args) > 1 or "$" in line.args[0]:
        return False
    text = line.args[0]
    if text in _OFF_VALUES:
        headers = part.table.get("headers")
        known = headers if isinstance(headers, dict) else {}
        part.set("headers", {**known, "Cache-Control": "no-cache"}, line)
        return True
    age = _MAX_AGE if text == "max" else duration(text.lstrip("+"))
    if age is None:
        return False
    table["expires"] = age
    return True
