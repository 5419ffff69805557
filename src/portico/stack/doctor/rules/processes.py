"""Programs, what starts them, and which of them get requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from portico.importers.sites import tables
from portico.stack.doctor.machine import Listener, Machine
from portico.stack.doctor.own_lines import line_of
from portico.stack.doctor.proxied_programs import balanced_ports, is_loopback, program_groups
from portico.stack.doctor.rule import Example, Facts, Fault, place_of, rule
from portico.stack.model import Place, Program

_FILE: Final = "ecosystem.config.json"
_TWO_INSTANCES: Final = (
    '{"apps": [\n  {"name": "a", "script": "index.js", "env": {"PORT": 3000}},\n'
    '  {"name": "b", "script": "index.js", "env": {"PORT": 3001}}\n]}\n'
)
_ONE_SERVER: Final = "upstream app {\n    server 127.0.0.1:3000;\n    keepalive 8;\n}\n"
_TWO_SERVERS: Final = (
    "upstream app {\n    server 127.0.0.1:3000;\n    server 127.0.0.1:3001;\n    keepalive 8;\n}\n"
)


def _app(**more: object) -> str:
    return json.dumps({"apps": [{"name": "web", "script": "index.js", **more}]}) + "\n"


def _apps(before: str, after: str, machine: Machine | None = None) -> Example:
    return Example({_FILE: before}, {_FILE: after}, machine or Machine())


@dataclass(frozen=True, slots=True)
class _App:
    """A program, or an app of a portico.toml."""

    name: str
    place: Place
    table: Mapping[str, Any]


def _all_apps(facts: Facts) -> Iterator[_App]:
    for each in facts.stack.programs:
        yield _App(each.name, each.place, each.table)
    for own in facts.own:
        for name, table in tables(own.table.get("apps")).items():
            yield _App(name, line_of(own, "apps", name), table)


@rule(
    "process-not-balanced",
    "warning",
    "A process that no upstream names",
    why="It runs, needs memory, and gets no request: of four processes with two servers in the "
    "upstream, half of the machine is idle.",
    fix="Add a `server` line for its port.",
    example=Example(
        {_FILE: _TWO_INSTANCES, "site.conf": _ONE_SERVER},
        {_FILE: _TWO_INSTANCES, "site.conf": _TWO_SERVERS},
    ),
)
def not_balanced(facts: Facts) -> Iterator[Fault]:
    named = balanced_ports(facts)
    for group in program_groups(facts):
        counted = [each for each in group.programs if each.ports]
        missing = [each for each in counted if not named & set(each.ports)]
        if len(missing) < len(counted):
            for program in missing:
                yield (
                    place_of(program),
                    (
                        f"no upstream names port {program.ports[0]} of {program.name}: nginx "
                        f"passes to {len(counted) - len(missing)} of {len(counted)} that run "
                        f"{group.what}"
                    ),
                )


@rule(
    "server-of-no-process",
    "warning",
    "An upstream names a port that none of the programs has",
    why="nginx tries it, is refused, and tries the next: a part of the requests takes longer, and "
    "a POST may fail.",
    fix="Remove the `server` line, or start the process.",
    example=Example(
        {
            _FILE: _TWO_INSTANCES,
            "site.conf": _TWO_SERVERS.replace("    keep", "    server 127.0.0.1:3002;\n    keep"),
        },
        {_FILE: _TWO_INSTANCES, "site.conf": _TWO_SERVERS},
    ),
)
def of_no_process(facts: Facts) -> Iterator[Fault]:
    if facts.machine.listening is not None:
        return  # then it is known, and another rule reports it
    ports = {port for each in facts.stack.programs for port in each.ports}
    for upstream in facts.nginx.upstreams:
        own = [peer for peer in upstream.peers if is_loopback(peer.host)]
        if any(peer.port in ports for peer in own):
            for peer in own:
                if peer.port not in ports and not peer.has("down"):
                    yield place_of(peer.line), f"no program has port {peer.port}"


@rule(
    "port-of-two-programs",
    "error",
    "Two programs with one port",
    why="The second ends with EADDRINUSE, and its manager starts it again and again.",
    fix="Give each a port of its own.",
    example=Example({_FILE: _TWO_INSTANCES.replace("3001", "3000")}, {_FILE: _TWO_INSTANCES}),
)
def port_of_two(facts: Facts) -> Iterator[Fault]:
    first: dict[int, Program] = {}
    for program in facts.stack.programs:
        if program.table.get("instances", 1) != 1:
            continue
        for port in program.ports or _ports_in(program.table.get("env")):
            other = first.setdefault(port, program)
            if other is not program and other.place.file == program.place.file:
                yield place_of(program), f"{program.name} has port {port}, as {other.name} has"


def _ports_in(env: object) -> tuple[int, ...]:
    """Of a program whose port is a variable like any other, because two have the same."""
    found = (env.get(name) for name in ("PORT", "port")) if isinstance(env, Mapping) else ()
    return tuple(int(str(each)) for each in found if str(each).isdecimal())


@rule(
    "watch-in-production",
    "warning",
    "`watch` restarts processes when files change",
    why="Each file that a deploy, an upload or the program itself writes restarts it: requests in "
    "progress are lost, all processes at once, and half a deploy is started.",
    fix="Remove `watch`, or keep it in a file for development; deploy with `pm2 reload` or "
    "`portico reload`.",
    example=_apps(_app(watch=True), _app()),
)
def watch_in_production(facts: Facts) -> Iterator[Fault]:
    for each in _all_apps(facts):
        if each.table.get("watch"):
            yield each.place, f"{each.name} restarts when a file changes"


@rule(
    "memory-limits-above-machine",
    "warning",
    "The memory limits add up to more than the machine has",
    why="Before one of them is reached, the kernel ends a process of its choice, which may be the "
    "database.",
    fix="Let the limits of all processes add up to three quarters of the memory.",
    example=_apps(
        _app(instances=4, exec_mode="cluster", max_memory_restart="1500M"),
        _app(instances=4, exec_mode="cluster", max_memory_restart="700M"),
        Machine(memory=4 << 30),
    ),
)
def above_machine(facts: Facts) -> Iterator[Fault]:
    memory, limits = facts.machine.memory, [(e, _limit(e, facts)) for e in _all_apps(facts)]
    total = sum(limit for _, limit in limits)
    if memory and total > memory:
        first = next(each for each, limit in limits if limit)
        yield (
            first.place,
            (
                f"the limits of all processes are {total / 2**30:.1f} GiB, and the machine has "
                f"{memory / 2**30:.1f} GiB"
            ),
        )


def _limit(app: _App, facts: Facts) -> int:
    """Bytes, of all its instances."""
    limit, instances = app.table.get("max_memory"), app.table.get("instances", 1)
    number = instances if isinstance(instances, int) else facts.machine.cores or 1
    return _bytes(limit) * max(number, 1)


def _bytes(value: object) -> int:
    if isinstance(value, int):
        return value
    found = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", str(value or ""), re.IGNORECASE)
    units = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(found[1]) * units[found[2].upper()] if found else 0


@rule(
    "fork-mode-reload",
    "advice",
    "Processes of PM2 in fork mode: `pm2 reload` is a restart",
    why="In fork mode PM2 ends the old process before the new one listens. Measured with four "
    "such processes and 300 requests/s: seven of ten requests lost (docs/benchmarks.md).",
    fix="Use one entry with `exec_mode: 'cluster'` and `instances: 4`, and close the server on "
    "SIGINT; or Portico, which replaces instances one by one: 0 lost.",
    example=Example(
        {_FILE: _TWO_INSTANCES},
        {_FILE: _app(exec_mode="cluster", instances=2)},
    ),
)
def fork_mode(facts: Facts) -> Iterator[Fault]:
    for group in program_groups(facts):
        of_pm2 = [each for each in group.programs if each.manager == "pm2"]
        if len(of_pm2) > 1 and all(each.table.get("instances", 1) == 1 for each in of_pm2):
            names = ", ".join(each.name for each in of_pm2)
            yield place_of(of_pm2[0]), f"{names} are in fork mode"


@rule(
    "debugger-open",
    "error",
    "The debugger of Node listens beyond this machine",
    why="Anyone who reaches the port can run code as the program's user.",
    fix="Remove `--inspect`, or bind it to 127.0.0.1 and use a tunnel.",
    example=_apps(
        _app(node_args="--inspect=0.0.0.0:9229"), _app(node_args="--inspect=127.0.0.1:9229")
    ),
)
def debugger_open(facts: Facts) -> Iterator[Fault]:
    pattern = re.compile(
        r"--inspect(-brk|-wait|-port)?[= ](0\.0\.0\.0|\[::\]|(?!127\.)\d+\.\d+\.\d)"
    )
    for each in _all_apps(facts):
        keys = ("interpreter_args", "args", "command", "script", "env")
        text = " ".join(_words(each.table.get(key)) for key in keys)
        if found := pattern.search(text):
            yield each.place, f"{each.name} is started with {found[0]}"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(map(str, value.values()))
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


@rule(
    "program-open-to-network",
    "warning",
    "A program behind nginx listens beyond this machine",
    why="Clients that know the port bypass nginx: no TLS, no limits, no access rules, and "
    "any X-Forwarded-For.",
    fix="Let it listen on 127.0.0.1 (`server.listen(port, '127.0.0.1')`), or close the port in "
    "the firewall.",
    example=Example(
        {"site.conf": _ONE_SERVER},
        {"site.conf": _ONE_SERVER},
        Machine(listening={3000: Listener("node", beyond_loopback=True)}),
        Machine(listening={3000: Listener("node")}),
    ),
)
def open_to_network(facts: Facts) -> Iterator[Fault]:
    listening = facts.machine.listening or {}
    for upstream in facts.nginx.upstreams:
        for peer in upstream.peers:
            found = listening.get(peer.port or 0)
            if is_loopback(peer.host) and found and found.beyond_loopback:
                yield (
                    place_of(peer.line),
                    f"{found.program or 'a program'} listens on all addresses",
                )


@rule(
    "metrics-open-to-network",
    "warning",
    "Metrics of Portico are served beyond this machine",
    why="Anyone who reaches the port sees the names of apps and sites, and how busy they are.",
    fix="Bind `[edge] metrics` to 127.0.0.1, or to an address of a private network.",
    example=Example(
        {"portico.toml": '[edge]\nmetrics = "0.0.0.0:9090"\n\n[apps.web]\ncommand = "run"\n'},
        {"portico.toml": '[edge]\nmetrics = "127.0.0.1:9090"\n\n[apps.web]\ncommand = "run"\n'},
    ),
)
def metrics_open(facts: Facts) -> Iterator[Fault]:
    for own in facts.own:
        edge = own.table.get("edge")
        metrics = str(edge.get("metrics", "")) if isinstance(edge, Mapping) else ""
        if metrics.startswith(("0.0.0.0:", "[::]:", "*:")):
            yield line_of(own, "edge", "metrics"), f"metrics are served on {metrics}"
