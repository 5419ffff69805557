"""Timers of systemd, by what the service that each starts does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.importers.renewers import is_renewing_timer, renews
from portico.stack.model import Gap, Place, Renewal, Stack, UnitFile
from portico.stack.reading.unit_file import read_unit_file

SYSTEM: Final = tuple(
    Path(folder)
    for folder in (
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    )
)
"""Where systemd looks for units, in this order."""


def read_timer(path: Path) -> Stack:
    """Raises Failed where it cannot be read."""
    timer = read_unit_file(path)
    service = timer.last("Timer", "Unit") or f"{path.stem}.service"
    started = _service(path, service)
    commands = [each.value for each in started.all("Service", "ExecStart")] if started else []
    renewing = [command for command in commands if renews(command)]
    if not renewing and not commands and is_renewing_timer(service):
        renewing = [service]
    files = (*timer.files, *(started.files if started else ()))
    place = _place(timer)
    if renewing:
        renewals = tuple(Renewal(place, command) for command in renewing)
        return Stack(renewals=renewals, files=files)
    why = f"systemd continues to start {service}; an app with a schedule is run at set times, too"
    return Stack(gaps=(Gap(place, path.name, why),), files=files)


def _place(timer: UnitFile) -> Place:
    """Where it says when."""
    times = [each for each in timer.settings if each.section == "Timer" and each.key != "Unit"]
    return times[0].place if times else Place(timer.path)


def _service(path: Path, name: str) -> UnitFile | None:
    """In the folder of the timer; where that is the system's, in its other ones, too."""
    folders = (path.parent, *(SYSTEM if path.parent in SYSTEM else ()))
    for folder in folders:
        if (folder / name).is_file():
            try:
                return read_unit_file(folder / name)
            except Failed:
                return None
    return None
