"""Greenlock's configuration, of a Node program that serves HTTPS itself (greenlock-express)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.stack.model import Gap, Place, Program, Site, Stack
from portico.stack.reading.procfile import app_command
from portico.stack.reading.text_files import plain_text, quote_line

_CONFIG: Final = "config.json"
_FOLDERS: Final = ("greenlock.d", ".greenlock.d")
_EMAIL: Final = re.compile(
    r"\b(?:maintainerEmail|subscriberEmail)\s*:\s*['\"]([^'\"]+@[^'\"]+)['\"]"
)
_HTTPS: Final = 443
_KEY_TYPES: Final = {
    "EC-P256": "ecdsa-p256", "P-256": "ecdsa-p256", "EC-P384": "ecdsa-p384",
    "P-384": "ecdsa-p384", "RSA-2048": "rsa2048", "RSA-4096": "rsa4096",
}  # fmt: skip
_HTTP_01: Final = "http-01"
IDLE_KEYS: Final = frozenset(
    ("store", "renewOffset", "renewStagger", "accountKeyType", "agreeToTerms", "renewAt",
     "subject", "altnames", "customerEmail", "manager", "packageRoot", "cluster")
)  # fmt: skip
"""Keys that say nothing here: Portico stores and renews certificates by itself."""
_CHANGE: Final = (
    "this program serves HTTPS itself; let it serve HTTP on process.env.PORT instead, and Portico "
    "obtains the certificates"
)


def read_greenlock(path: Path) -> Stack:
    """A config.json, a .greenlockrc that leads to one, or the program. Raises Failed."""
    root, config = _places(path)
    settings = _json(config)
    defaults = _table(settings.get("defaults"))
    sites = settings.get("sites")
    if not isinstance(sites, list):
        raise Failed(f"cannot read {config}: it has no list of sites")
    program = _program(root, path)
    place = Place(str(config))
    email = _email(root, path) or defaults.get("subscriberEmail")
    gaps = list(_gaps(defaults, place))
    found = []
    for site in map(_table, sites):
        names = [str(name) for name in (site.get("subject"), *_list(site.get("altnames"))) if name]
        gaps += _gaps(site, place)
        if not names:
            gaps.append(Gap(place, quote_line(json.dumps(site)), "this site has no subject"))
        elif program is None:
            why = "no package.json says which program answers; write its app yourself"
            gaps.append(Gap(place, names[0], why))
        else:
            found.append(Site(names[0], place, _site(names, {**defaults, **site}, email)))
    if program:
        gaps.append(Gap(program.place, "greenlock-express", _CHANGE))
    files = dict.fromkeys((str(path), str(config)))
    return Stack(
        programs=(program,) if program else (),
        sites=tuple(found),
        gaps=tuple(dict.fromkeys(gaps)),
        files=tuple(files),
    )


def _places(path: Path) -> tuple[Path, Path]:
    """The folder of the program, and config.json."""
    if path.name == _CONFIG or (path.suffix == ".json" and path.name != "package.json"):
        above = path.parent
        return (above.parent if above.name in _FOLDERS else above), path
    named = _json(path).get("configDir") if path.name == ".greenlockrc" else None
    folders = (str(named),) if named else _FOLDERS
    for folder in folders:
        if (path.parent / folder / _CONFIG).is_file():
            return path.parent, path.parent / folder / _CONFIG
    raise Failed(f"cannot read {path}: its {folders[0]}/{_CONFIG} is not there")


def _json(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(plain_text(path))
    except (ValueError, RecursionError) as error:
        raise Failed(f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise Failed(f"cannot read {path}: it is not a table")
    return found


def _site(names: list[str], settings: Mapping[str, object], email: object) -> dict[str, object]:
    tls: dict[str, object] = {"email": email} if isinstance(email, str) else {}
    key_type = _KEY_TYPES.get(str(settings.get("serverKeyType", "")))
    if key_type:
        tls["key_type"] = key_type
    others = list(dict.fromkeys(name for name in names if name != names[0]))
    aliases = {"aliases": others} if others else {}
    return {"app": {"address": f"localhost:{_HTTPS}"}, **aliases, **({"tls": tls} if tls else {})}


def _gaps(settings: Mapping[str, object], place: Place) -> Iterator[Gap]:
    for key, value in settings.items():
        if key == "challenges" and set(_table(value)) <= {_HTTP_01}:
            continue
        if key == "serverKeyType" and str(value) in _KEY_TYPES:
            continue
        if key not in IDLE_KEYS | {"subscriberEmail"}:
            why = (
                "see challenge and dns of tls"
                if key == "challenges"
                else "it has no equivalent in tls"
            )
            yield Gap(place, quote_line(f"{key}: {json.dumps(value)}"), why)


def _program(root: Path, path: Path) -> Program | None:
    package = root / "package.json"
    try:
        described = _json(package)
    except Failed:
        described = {}
    start, main = _table(described.get("scripts")).get("start"), described.get("main")
    place = Place(str(package))
    if path.suffix in {".js", ".cjs", ".mjs"}:
        command, place = f"node {path.name}", Place(str(path))
    elif isinstance(start, str):
        command = start
    elif isinstance(main, str):
        command = f"node {main}"
    else:
        return None
    try:
        table = {"command": app_command(command)}
    except ValueError:
        return None
    return Program("web", place, "greenlock", table, (80, _HTTPS))


def _email(root: Path, path: Path) -> str:
    """What the program names, in the file that was given or in its main one."""
    for script in (path, root / "server.js", root / "index.js", root / "app.js"):
        if script.suffix == ".js" and script.is_file():
            try:
                found = _EMAIL.search(plain_text(script))
            except Failed:
                continue
            if found:
                return found[1]
    return ""


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
