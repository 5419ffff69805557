"""porticod that dies by SIGKILL at one place on the way of a certificate: the one whose name is in
the file PORTICO_KILLED_AT, looked at whenever a place is reached. What its certificates were then
is copied beside that file, into the folder `<name>.then`.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from portico.adapters.acme.authorities import Authorities
from portico.adapters.hooks.runner import HookRunner
from portico.adapters.lineages.disk import DiskLineages
from portico.adapters.nginx.program import NginxProgram
from portico.adapters.sites.probe import SiteProbe

# One between any two changes of what is on disk, or of what nginx serves.
PLACES = {
    "before the order": (Authorities, Authorities.issue, "before"),
    "when it was signed": (Authorities, Authorities.issue, "after"),
    "when it was stored": (DiskLineages, DiskLineages.store, "after"),
    "before the order is forgotten": (Authorities, Authorities.forget, "before"),
    "before the lineage is switched": (DiskLineages, DiskLineages.switch, "before"),
    "when the lineage was switched": (DiskLineages, DiskLineages.switch, "after"),
    "after nginx -t": (NginxProgram, NginxProgram.install, "after"),
    "before the reload": (NginxProgram, NginxProgram.switch, "before"),
    "after the reload": (NginxProgram, NginxProgram.switch, "after"),
    "after the handshake": (SiteProbe, SiteProbe.served_fingerprints, "after"),
    "before the record": (HookRunner, HookRunner.run, "after"),
}


def make_deadly(place: str, owner: type, method: Callable, when: str) -> None:
    real = getattr(owner, method.__name__)  # another place may be at the same one

    @functools.wraps(real)
    async def deadly(*args: object, **more: object) -> object:
        if when == "before":
            die_at(place)
        result = await real(*args, **more)
        if when == "after":
            die_at(place)
        return result

    setattr(owner, method.__name__, deadly)


def die_at(place: str) -> None:
    file = Path(os.environ["PORTICO_KILLED_AT"])
    if file.read_text() == place:
        then = file.with_name(f"{file.name}.then")
        shutil.rmtree(then, ignore_errors=True)
        certificates = Path(os.environ["PORTICO_HOME"]) / "certificates"
        shutil.copytree(certificates, then, symlinks=True)
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    from portico.daemon.main import main as serve  # noqa: PLC0415 - tests import PLACES alone

    for place, where in PLACES.items():
        make_deadly(place, *where)
    serve()
