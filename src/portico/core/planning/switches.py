"""What operators switch by hand next to the files, over all machines of a cluster.

It is kept with what is in force, so that a machine that was absent makes up for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from portico.core.model.shared_change import SharedChange, Switches


@dataclass(frozen=True, slots=True)
class MissedSwitches:
    """What a machine has to do; apps are `PROJECT/APP`."""

    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    pause: Mapping[str, float] = field(default_factory=dict)
    """By site, as `Switches.paused`."""
    resume: tuple[str, ...] = ()


def switches_after(switches: Switches, change: SharedChange) -> Switches:
    """Once all machines have made the change."""
    switches, target = replace(switches, last=change.id), change.target
    if target is None:
        return switches
    stopped, renewed, paused = dict(switches.stopped), dict(switches.renewed), switches.paused
    match change.verb:
        case "start" | "stop":
            stopped |= dict.fromkeys(target.apps, change.verb == "stop")
        case "reload" | "restart":
            stopped |= dict.fromkeys(target.apps, False)
            renewed |= dict.fromkeys(target.apps, change.id)
        case "pause":
            paused = {**paused, **dict.fromkeys(target.sites, target.hold)}
        case "resume":
            paused = {name: hold for name, hold in paused.items() if name not in target.sites}
        case _ if change.project:
            return _without_removed(switches, change.project, target.apps)
        case _:
            pass
    return replace(switches, stopped=stopped, renewed=renewed, paused=paused)


def missed_switches(own: Switches, shared: Switches) -> MissedSwitches:
    """What a machine has not done yet, or did before something else was switched."""
    differing = {n: is_on for n, is_on in shared.stopped.items() if own.stopped.get(n) != is_on}
    renewed = {name for name, id_ in shared.renewed.items() if own.renewed.get(name) != id_}
    reload = sorted(name for name in renewed if not shared.stopped.get(name))
    pause = {name: hold for name, hold in shared.paused.items() if own.paused.get(name) != hold}
    return MissedSwitches(
        stop=tuple(name for name, is_stopped in differing.items() if is_stopped),
        start=tuple(n for n, is_on in differing.items() if not is_on and n not in reload),
        reload=tuple(reload),
        pause=pause,
        resume=tuple(sorted(own.paused.keys() - shared.paused.keys())),
    )


def _without_removed(switches: Switches, project: str, apps: tuple[str, ...]) -> Switches:
    """These are all apps of the project from now on."""

    def is_known(name: str) -> bool:
        return name.rpartition("/")[0] != project or name in apps

    return replace(
        switches,
        stopped={name: each for name, each in switches.stopped.items() if is_known(name)},
        renewed={name: each for name, each in switches.renewed.items() if is_known(name)},
    )
