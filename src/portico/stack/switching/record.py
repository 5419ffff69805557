"""What `portico switch` has taken over, so that it can be given back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from portico.errors import Refused
from portico.stack.switching.jobs import Job
from portico.stack.switching.other_nginx import OtherNginx
from portico.system import files

NAME: Final = "switched.json"
"""In PORTICO_HOME."""


@dataclass(frozen=True, slots=True)
class Record:
    nginx: OtherNginx
    pm2: tuple[int, ...]
    """Ids of PM2's apps that were stopped."""
    ports: tuple[int, ...]
    """Where they took connections."""
    project: str
    jobs: tuple[Job, ...] = ()
    """What was disabled."""


def write(home: Path, record: Record) -> None:
    files.write(home / NAME, json.dumps(asdict(record)))


def read(home: Path) -> Record:
    """Raises Refused where nothing was taken over."""
    try:
        found = json.loads((home / NAME).read_text())
        nginx = found["nginx"]
        return Record(
            OtherNginx(
                nginx["pid"], nginx["started"], nginx["program"], tuple(nginx["arguments"])
            ),
            tuple(found["pm2"]),
            tuple(found["ports"]),
            found["project"],
            tuple(Job(**each) for each in found.get("jobs", ())),
        )
    except FileNotFoundError:
        raise Refused("nothing was taken over by `portico switch`; nothing was changed") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"cannot read {home / NAME}: {error}; nothing was changed") from error


def remove(home: Path) -> None:
    (home / NAME).unlink(missing_ok=True)
