"""A stack: what serves on a machine today, as its files say it. Portico runs none of it yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, Self

from portico.core.model.nginx_lines import Line

Manager = Literal["pm2", "systemd", "procfile", "compose", "greenlock"]
"""What starts a program today."""
NO_EQUIVALENT: Final = "there is no equivalent in portico.toml"
"""Of a gap of which there is no more to say."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file; 0 is the whole file."""

    file: str
    """As the operator wrote it, or absolute where an include led to it."""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Something that was read and has no equivalent in portico.toml, or could not be read."""

    place: Place
    what: str
    """As it is written there, shortened: `proxy_bind 10.0.0.1`."""
    why: str
    """What becomes of it, and what to do where something is to be done."""


@dataclass(frozen=True, slots=True)
class Program:
    """One entry of a process manager; several processes of it are `instances` of its table."""

    name: str
    """A valid name of an app, unlike those of the others of its file."""
    place: Place
    manager: Manager
    table: Mapping[str, object]
    """As in `[apps.NAME]`; its relative paths start in the folder of `place.file`."""
    ports: tuple[int, ...] = ()
    """Where its processes listen, as far as its file says it."""
    sockets: tuple[str, ...] = ()
    """The same of unix sockets: their paths."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """A certificate that certbot renews."""

    name: str
    names: tuple[str, ...]
    """Host names that it covers; empty where the certificate itself cannot be read."""
    place: Place
    """Its renewal file."""
    chain: str
    """Path in `live/`; nginx names it, or where it leads to."""
    key: str
    settings: Mapping[str, object] = field(default_factory=dict)
    """As in `[sites."NAME".tls]`."""
    params: Mapping[str, str] = field(default_factory=dict)
    """What certbot renews it with, as its file has it: `authenticator`, `post_hook`."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A line of a crontab, or a timer, that renews certificates."""

    place: Place
    command: str


@dataclass(frozen=True, slots=True)
class Site:
    """A site of a server other than nginx: a Caddyfile, greenlock."""

    name: str
    """Its first host name."""
    place: Place
    table: Mapping[str, object]
    """As in `[sites."NAME"]`; an address instead of an app is a table `{"address": "host:port"}`
    in the place of the app's name, which joining replaces. It may be the name of one of the
    upstreams instead."""
    upstreams: tuple[Line, ...] = ()
    """Groups of several servers, as nginx's `upstream` blocks would be."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of a unit of systemd."""

    section: str
    key: str
    value: str
    place: Place

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A unit of systemd with its drop-ins."""

    path: str
    settings: tuple[Setting, ...]
    """In order; those before an empty assignment, which resets a list, are left out."""
    files: tuple[str, ...]

    def all(self, section: str, key: str) -> list[Setting]:
        return [each for each in self.settings if (each.section, each.key) == (section, key)]

    def last(self, section: str, key: str) -> str:
        """Empty if it is not set."""
        found = self.all(section, key)
        return found[-1].value if found else ""


@dataclass(frozen=True, slots=True)
class Container:
    """A service of a compose file, whether its program can be taken over or not."""

    name: str
    place: Place
    table: Mapping[str, object]
    lines: Mapping[str, int]
    """Of its keys."""

    def at(self, key: str) -> Place:
        """Of the service where it has no such key."""
        return Place(self.place.file, self.lines.get(key, self.place.line))


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that was read; several add up to one."""

    nginx: tuple[Line, ...] = ()
    """Lines of all nginx files, includes in their place. A file of sites without `http` around
    them is as if included there."""
    programs: tuple[Program, ...] = ()
    lineages: tuple[Lineage, ...] = ()
    renewals: tuple[Renewal, ...] = ()
    sites: tuple[Site, ...] = ()
    containers: tuple[Container, ...] = ()
    units: tuple[UnitFile, ...] = ()
    """Services of systemd."""
    caddy: tuple[Line, ...] = ()
    """Blocks of Caddyfiles, each with its addresses; the global options have none."""
    gaps: tuple[Gap, ...] = ()
    files: tuple[str, ...] = ()
    """All that was read, in order, without repetition."""

    def __add__(self, other: Self) -> Stack:
        return Stack(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            }
        )
