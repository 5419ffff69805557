"""Finds others on this machine that renew certificates: crontab lines and timers.

Two that renew the same names use up the authority's limits together, and only one of them tells
the web server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portico.core.model.renewers import Renewer
from portico.errors import Failed
from portico.importers.certbot import DEFAULT
from portico.importers.certbot_conf import read_conf
from portico.system.text import read_text

_CRONTABS: Final = (
    "etc/crontab",
    "etc/cron.d/*",
    "etc/cron.hourly/*",
    "etc/cron.daily/*",
    "etc/cron.weekly/*",
    "etc/cron.monthly/*",
    "var/spool/cron/*",
    "var/spool/cron/crontabs/*",
)
_MAX_FILE_SIZE: Final = 1 << 20
"""Octets that are looked at of a file; a user's own crontab may be of any size."""
_MAX_LINE_LENGTH: Final = 4096
"""Characters that are looked at of a line: for one of MiBs the patterns would take minutes."""
_RENEWAL_COMMAND: Final = re.compile(
    r"(?:^|[\s/;&|])(?:"
    r"(?:certbot|letsencrypt)(?:-auto)?\s(?:.*\s)?(?:renew|certonly)\b"
    r"|acme\.sh\s(?:.*\s)?(?:--cron|--renew-all|--renew)\b"
    r"|dehydrated\s(?:.*\s)?(?:-c|--cron)\b"
    r"|lego\s(?:.*\s)?renew\b"
    r")"
)
_RENEW_ALL_COMMAND: Final = re.compile(
    r"^(?!.*certonly).*(?:certbot|letsencrypt)(?:-auto)?\s(?:.*\s)?renew\b|certbot.*\.timer$"
)
"""Renews what certbot's folder says, and nothing that is marked as to be left alone there."""
_TIMER: Final = re.compile(r"(?:certbot|letsencrypt|acme|dehydrated|lego)", re.IGNORECASE)


def find_renewers(root: Path) -> list[Renewer]:
    """`root` is the folder that the system's own are in. What cannot be read is passed over, and
    so is a `certbot renew` that finds nothing to renew.
    """
    found = all_renewers(root)
    if _certbot_renews(root):
        return found
    return [each for each in found if not is_of_certbot(each)]


def all_renewers(root: Path) -> list[Renewer]:
    """Also those that find nothing to renew."""
    return [*_in_crontabs(root), *_in_systemd(root)]


def is_of_certbot(renewer: Renewer) -> bool:
    """Whether it renews all that is in certbot's folder, and nothing else."""
    return _RENEW_ALL_COMMAND.search(renewer.what) is not None


def renews(command: str) -> bool:
    """Whether a command renews certificates."""
    return _RENEWAL_COMMAND.search(command[:_MAX_LINE_LENGTH]) is not None


def is_renewing_timer(name: str) -> bool:
    return _TIMER.search(name) is not None


def _in_crontabs(root: Path) -> Iterator[Renewer]:
    for pattern in _CRONTABS:
        for path in sorted(root.glob(pattern)):
            try:
                lines = _lines(path) if path.is_file() else []
            except OSError:
                continue
            for number, line in enumerate(lines, 1):
                if not line.lstrip().startswith("#") and renews(line):
                    yield Renewer(f"{path}:{number}", line.strip(), "comment out this line")


def _lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        text = file.read(_MAX_FILE_SIZE).decode(errors="replace")
    return [line[:_MAX_LINE_LENGTH] for line in text.splitlines()]


def _in_systemd(root: Path) -> Iterator[Renewer]:
    for folder in ("etc", "run"):
        for path in sorted(root.glob(f"{folder}/systemd/system/*.wants/*.timer")):
            if is_renewing_timer(path.name):
                yield Renewer(str(path), path.name, f"systemctl disable --now {path.name}")


def _certbot_renews(root: Path) -> bool:
    """Whether there is anything in certbot's folder that it would renew; True if in doubt."""
    folder = root / DEFAULT.relative_to("/") / "renewal"
    try:
        return any(_is_renewed(each) for each in folder.iterdir() if each.suffix == ".conf")
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _is_renewed(conf: Path) -> bool:
    try:
        params = read_conf(read_text(conf)).get("renewalparams", {})
    except (ValueError, Failed):
        return True
    return params.get("autorenew", "True") != "False"
