"""Which kind of file one is, by its name and, where that says nothing, by what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

Kind = Literal[
    "portico", "nginx", "pm2", "certbot", "crontab", "timer", "unit", "socket", "procfile",
    "compose", "caddyfile", "greenlock",
]  # fmt: skip
_NAME_RULES: Final[tuple[tuple[str, Kind], ...]] = (
    (r"portico\.toml|.*\.toml", "portico"),
    (r"(ecosystem|pm2|process(es)?)(\..*)?\.(js|cjs|mjs|json|ya?ml)|dump\.pm2(\.bak)?", "pm2"),
    (r"greenlock.*\.json|config\.json|\.greenlockrc", "greenlock"),
    (r"Procfile(\..*)?", "procfile"),
    (r"(docker-)?compose(\..*)?\.ya?ml", "compose"),
    (r"Caddyfile(\..*)?|.*\.caddy(file)?", "caddyfile"),
    (r".*\.timer", "timer"),
    (r".*\.service", "unit"),
    (r".*\.socket", "socket"),
    (r"crontab|cron.*", "crontab"),
)
_CRONTAB: Final = (
    r"^\s*(@(hourly|daily|weekly|monthly|reboot|yearly)|[\d*/,-]+(\s+[\d*/,a-zA-Z-]+){4})\s+\S"
)
_CRON_FOLDER: Final = re.compile(r"cron\.(d|hourly|daily|weekly|monthly)|crontabs")
_CONTENT_RULES: Final[tuple[tuple[str, Kind], ...]] = (
    (r"^\s*\[Unit\]|^\s*\[Service\]", "unit"),
    (r"^\s*\[Timer\]", "timer"),
    (_CRONTAB, "crontab"),
    (r"^\s*\[renewalparams\]", "certbot"),
    (r"[\"']greenlock-express[\"']", "greenlock"),
    (r"\bmodule\.exports\b|^\s*export default\b", "pm2"),
    (r"^\s*(server|upstream|http|events|location|map)\b[^;\n]*\{", "nginx"),
    (r"^\s*(reverse_proxy|file_server|encode|root \*)\b", "caddyfile"),
    (r"^[A-Za-z0-9_-]+:\s+\S", "procfile"),
)


def kind_of(path: Path, text: str) -> Kind | None:
    """`text` is what is in it, or its beginning. None where nothing says what it is."""
    if _CRON_FOLDER.fullmatch(path.parent.name):
        return "crontab"
    for pattern, kind in _NAME_RULES:
        if re.fullmatch(pattern, path.name):
            return kind
    for pattern, kind in _CONTENT_RULES:
        if re.search(pattern, text, re.MULTILINE):
            return kind
    return "nginx" if path.suffix == ".conf" else None


def kind_of_folder(path: Path) -> Kind | None:
    if _CRON_FOLDER.fullmatch(path.name):
        return "crontab"
    return "certbot" if (path / "renewal").is_dir() else None
