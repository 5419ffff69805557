"""docker-compose files, as far as their services are plain programs of this machine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from portico.core.model.labels import app_label
from portico.core.model.units import parse_size
from portico.core.planning.environment import parse_env_file
from portico.errors import Failed
from portico.stack.model import NO_EQUIVALENT, Container, Gap, Place, Program, Stack
from portico.stack.reading.dockerfile import Dockerfile, read_dockerfile, words_of
from portico.stack.reading.listening import command_text, listen_command
from portico.stack.reading.text_files import quote_line
from portico.stack.reading.yaml_lines import Keys, line_of, read_yaml
from portico.system.text import read_text

IDLE_KEYS: Final = frozenset(
    ("version", "name", "services", "container_name", "init", "tty", "image", "build", "expose")
)
"""Keys that say nothing about a program without a container, or are read with others."""
_REASONS: Final[Mapping[str, str]] = {
    "healthcheck": "set health, a check that Portico does itself",
    "logging": "output is in `portico logs`; see logs",
    "networks": "apps listen on loopback, and reach each other there",
    "volumes": "an app uses folders of the machine as they are",
    "links": "apps reach each other on loopback",
}
_VARIABLE: Final = re.compile(r"\$\$|\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)")
_PORT: Final = re.compile(r"(?:(?:\[?[0-9a-fA-F.:]+\]?:)?(\d{1,5}):)?(\d{1,5})(?:/tcp)?")


def read_compose(path: Path, environ: Mapping[str, str]) -> Stack:
    """Raises Failed where it cannot be read."""
    value, lines = read_yaml(path)
    services = value.get("services") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(services, dict):
        raise Failed(f"cannot read {path}: it has no services")
    gaps = [
        Gap(Place(str(path), line_of(lines, key)), quote_line(key), NO_EQUIVALENT)
        for key in map(str, value)
        if key not in IDLE_KEYS and not key.startswith("x-")
    ]
    known = {**_env_file(path.parent / ".env"), **environ}
    read = [_Service(path, str(n), _fill(s, known), lines) for n, s in services.items()]
    runs = {each.name for each in read if each.words}
    programs = {p.name: p for each in reversed(read) if (p := each.program(runs))}
    gaps += [gap for each in read for gap in each.gaps]
    return Stack(
        programs=tuple(reversed(programs.values())),
        containers=tuple(each.container for each in read),
        gaps=tuple(gaps),
        files=(str(path),),
    )


class _Service:
    def __init__(self, path: Path, name: str, value: object, lines: Mapping[Keys, int]) -> None:
        self.name = name
        self._path, self._lines = path, lines
        self._value: Mapping[str, object] = value if isinstance(value, dict) else {}
        self.gaps: list[Gap] = []
        image = self._image()
        self._folder, self._inside = self._folders(image)
        self._env = {**(image.env or {}), **self._environment()}
        self._exposed = image.port
        self.words = self._command(image) if self._folder else ()
        if not self.words:
            what = f"image: {self._value.get('image', '?')}"
            why = "this is a program of an image, not of a folder; leave it to compose"
            self.gaps.append(Gap(self._place("image"), quote_line(what), why))

    @property
    def container(self) -> Container:
        lines = {str(key): self._place(str(key)).line for key in self._value}
        return Container(self.name, self._place(), self._value, lines)

    def program(self, runs: set[str]) -> Program | None:
        """`runs` has the services that are programs."""
        if not self.words:
            return None
        found = listen_command(self.words, self._env)
        pairs = list(self._ports())
        table: dict[str, object] = {"command": _command(found.words)}
        if self._folder != ".":
            table["cwd"] = self._folder
        if found.env:
            table["env"] = dict(found.env)
        table |= found.table
        inner = [inside for _, inside in pairs] or ([self._exposed] if self._exposed else [])
        if table.get("port") is False and inner:
            table["port"] = inner[0]
        for key, value in self._value.items():
            if key not in IDLE_KEYS | _COMMAND_KEYS:
                self._setting(str(key), value, table, runs)
        if "restart" not in self._value:
            table["autorestart"] = False
        outer = tuple(outside for outside, _ in pairs)
        place = self._place()
        return Program(
            app_label(self.name) or "app", place, "compose", table, outer or found.ports
        )

    def _place(self, *keys: str) -> Place:
        return Place(str(self._path), line_of(self._lines, "services", self.name, *keys))

    def _gap(self, key: str, value: object, why: str) -> None:
        self.gaps.append(Gap(self._place(key), quote_line(f"{key}: {value}"), why))

    def _image(self) -> Dockerfile:
        """That of the build context, as far as it is there."""
        build = self._value.get("build")
        context = _context(build)
        if context is None:
            return Dockerfile()
        named = build.get("dockerfile") if isinstance(build, dict) else None
        try:
            text = read_text(self._path.parent / context / str(named or "Dockerfile"))
        except Failed:
            return Dockerfile()
        return read_dockerfile(text)

    def _folders(self, image: Dockerfile) -> tuple[str, str]:
        """The folder of the program on this machine, and in its container; empty if none is."""
        inside = str(self._value.get("working_dir") or image.workdir).rstrip("/")
        for outer, inner in self._mounts():
            if inside and (inside == inner or inside.startswith(f"{inner}/")):
                below = inside[len(inner) :].strip("/")
                return posixpath.normpath(posixpath.join(outer, below)), inside
        context = _context(self._value.get("build"))
        return (posixpath.normpath(context), inside) if context is not None else ("", inside)

    def _mounts(self) -> Iterator[tuple[str, str]]:
        volumes = self._value.get("volumes")
        for each in volumes if isinstance(volumes, list) else ():
            if isinstance(each, dict) and each.get("type") == "bind":
                yield str(each.get("source", "")), str(each.get("target", "")).rstrip("/")
            elif isinstance(each, str) and each.startswith((".", "/", "~")) and ":" in each:
                outer, inner, *_ = each.split(":")
                yield outer, inner.rstrip("/")

    def _command(self, image: Dockerfile) -> tuple[str, ...]:
        own = self._value.get("entrypoint")
        entrypoint = words_of(own) if own is not None else image.entrypoint
        command = self._value.get("command")
        words = words_of(command) if command is not None else () if own else image.command
        inside = f"{self._inside}/"
        return tuple(
            word.removeprefix(inside) if self._inside else word for word in (*entrypoint, *words)
        )

    def _environment(self) -> dict[str, str]:
        value = self._value.get("environment")
        if isinstance(value, dict):
            return {str(k): _text(v) for k, v in value.items() if v is not None}
        pairs = (str(each).partition("=") for each in value) if isinstance(value, list) else ()
        return {name: text for name, equals, text in pairs if equals}

    def _ports(self) -> Iterator[tuple[int, int]]:
        """Outside and inside of the container."""
        ports = self._value.get("ports")
        for port in ports if isinstance(ports, list) else ():
            if isinstance(port, dict):
                inner, outer = str(port.get("target", "")), str(port.get("published", ""))
                found = _PORT.fullmatch(f"{outer}:{inner}" if outer else inner)
            else:
                found = _PORT.fullmatch(str(port))
            if found:
                yield int(found[1] or found[2]), int(found[2])
            else:
                self._gap("ports", port, "it is not one TCP port; see [streams]")

    def _setting(  # noqa: C901, PLR0912 - a case for each key
        self, key: str, value: object, table: dict[str, object], runs: set[str]
    ) -> None:
        match key, value:
            case "env_file", str() | list():
                table["env_file"] = _paths(value)
            case (("scale" | "replicas"), int()):
                table["instances"] = value
            case "deploy", dict():
                self._deploy(value, table)
            case "restart", str():
                self._restart(value, table)
            case "depends_on", list() | dict():
                self._set_after(list(map(str, value)), table, runs)
            case "stop_signal", str():
                table["stop_signal"] = value
            case "stop_grace_period", str() | int():
                table["stop_timeout"] = value
            case (("mem_limit" | "memory"), str() | int()):
                self._memory(key, value, table)
            case "user", str() if re.fullmatch(r"[a-z_][\w-]*", value):
                table["user"] = value
            case "volumes", list():
                mounts = {f"{o}:{i}" for o, i in self._mounts() if i == self._inside}
                for each in value:
                    if str(each) not in mounts:
                        self._gap(key, each, _REASONS[key])
            case _:
                self._gap(key, value, _REASONS.get(key, NO_EQUIVALENT))

    def _deploy(self, deploy: Mapping[str, object], table: dict[str, object]) -> None:
        for key, value in deploy.items():
            resources = value if key == "resources" and isinstance(value, dict) else {}
            limits = resources.get("limits")
            if key == "replicas":
                self._setting(key, value, table, set())
            elif isinstance(limits, dict) and (*resources, *limits) == ("limits", "memory"):
                self._memory("memory", limits["memory"], table)
            else:
                self._gap("deploy", f"{key}: {value}", NO_EQUIVALENT)

    def _restart(self, value: str, table: dict[str, object]) -> None:
        kind, _, most = value.partition(":")
        if kind == "no":
            table["autorestart"] = False
        elif kind == "on-failure":
            table["stop_exit_codes"] = [0]
            if most.isdecimal():
                table["max_restarts"] = int(most)
        elif kind not in {"always", "unless-stopped"}:
            self._gap("restart", value, "compose has no such value")

    def _set_after(self, names: list[str], table: dict[str, object], runs: set[str]) -> None:
        if apps := [app_label(name) for name in names if name in runs]:
            table["after"] = apps
        if others := [name for name in names if name not in runs]:
            why = "`after` is for apps, and this is none here"
            self._gap("depends_on", ", ".join(others), why)

    def _memory(self, key: str, value: object, table: dict[str, object]) -> None:
        try:
            table["max_memory"] = parse_size(value)
        except ValueError as error:
            self._gap(key, value, str(error))


_COMMAND_KEYS: Final = frozenset(
    ("command", "entrypoint", "working_dir", "environment", "ports", "deploy.replicas")
)


def _command(words: tuple[str, ...]) -> object:
    """A list stays one for a shell, whose last word has variables of its own."""
    return list(words) if words[:1] in {("/bin/sh",), ("sh",), ("bash",)} else command_text(words)


def _context(build: object) -> str | None:
    if isinstance(build, dict):
        return str(build.get("context", "."))
    return build if isinstance(build, str) else None


def _paths(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [str(each.get("path")) if isinstance(each, dict) else str(each) for each in value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fill(value: object, known: Mapping[str, str]) -> object:
    """With variables, as compose fills them in."""
    match value:
        case str():
            return _VARIABLE.sub(
                lambda found: (
                    "$" if found[0] == "$$" else known.get(found[1] or found[3]) or found[2] or ""
                ),
                value,
            )
        case list():
            return [_fill(each, known) for each in value]
        case dict():
            return {str(key): _fill(each, known) for key, each in value.items()}
        case _:
            return value


def _env_file(path: Path) -> dict[str, str]:
    try:
        return parse_env_file(read_text(path), str(path))
    except (Failed, ValueError):
        return {}
