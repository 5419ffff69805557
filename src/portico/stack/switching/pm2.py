"""The PM2 of this user, as far as its apps are those of a project."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from portico.core.model.desired import Desired
from portico.errors import Failed
from portico.system.commands import run_tool

TIMEOUT: Final = 60.0
"""Seconds for one command of PM2, which starts its daemon if need be."""


@dataclass(frozen=True, slots=True)
class Pm2App:
    id: int
    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Pm2Apps:
    """What is online."""

    ours: tuple[Pm2App, ...] = ()
    """Of the project's programs: the same script, or the same working folder."""
    others: int = 0


def apps_of(desired: Desired, environ: Mapping[str, str]) -> Pm2Apps:
    """None where there is no PM2. Raises Failed where it does not answer."""
    if shutil.which("pm2", path=environ.get("PATH")) is None:
        return Pm2Apps()
    specs = [app.spec for app in desired.apps.values()]
    scripts = {spec.path(spec.app.script) for spec in specs if spec.app.script}
    return found_in(_pm2(("jlist",), environ), scripts, {spec.working_folder for spec in specs})


def found_in(jlist: str, scripts: Collection[str], folders: Collection[str]) -> Pm2Apps:
    """`jlist` is what `pm2 jlist` prints, after other lines perhaps."""
    found, others = [], 0
    with suppress(ValueError):
        for app in json.loads(jlist[jlist.index("[") :].strip().splitlines()[-1]):
            settings = app.get("pm2_env", {})
            is_ours = settings.get("pm_exec_path") in scripts or settings.get("pm_cwd") in folders
            if settings.get("status") != "online":
                continue
            if is_ours:
                found.append(Pm2App(app["pm_id"], app["name"], app.get("pid") or 0))
            else:
                others += 1
    return Pm2Apps(tuple(found), others)


def stop(apps: Sequence[int], environ: Mapping[str, str]) -> None:
    """And keep them from starting at boot. Raises Failed."""
    if apps:
        _pm2(("stop", *map(str, apps)), environ)
        _pm2(("save", "--force"), environ)


def start(apps: Sequence[int], environ: Mapping[str, str]) -> None:
    """Start what `stop` has stopped. Raises Failed."""
    if apps:
        _pm2(("start", *map(str, apps)), environ)
        _pm2(("save", "--force"), environ)


def _pm2(words: Sequence[str], environ: Mapping[str, str]) -> str:
    done = run_tool(("pm2", *words), environ, seconds=TIMEOUT)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise Failed(f"`pm2 {' '.join(words)}` failed: {said[:300]}")
    return done.stdout
