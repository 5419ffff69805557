"""Logs: where they go, and whether they end."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch

from portico.stack.doctor.machine import Machine
from portico.stack.doctor.rule import (
    Example,
    Facts,
    Fault,
    place_of,
    rule,
    server_example,
    whole_example,
)

_PM2 = '{"apps": [{"name": "web", "script": "index.js"%s}]}\n'


@rule(
    "log-not-rotated",
    "warning",
    "A log of nginx that nothing rotates",
    why="It grows until the disk is full; then nginx cannot buffer uploads, databases stop, and "
    "certificates cannot be stored.",
    fix="Log to /var/log/nginx/*.log, which the distribution rotates, or add a file in "
    "/etc/logrotate.d that sends USR1 to nginx.",
    example=server_example(
        "access_log /srv/logs/access.log;\n",
        "access_log /var/log/nginx/access.log;\n",
        Machine(rotated=("/var/log/nginx/*.log",)),
    ),
)
def not_rotated(facts: Facts) -> Iterator[Fault]:
    rotated = facts.machine.rotated
    for _, line in facts.nginx.lines_named("access_log", "error_log"):
        path = line.args[0] if line.args else "off"
        is_file = path.startswith("/") and not path.startswith("/dev/") and "$" not in path
        if rotated is not None and is_file and not any(fnmatch(path, each) for each in rotated):
            yield place_of(line), f"logrotate does not rotate {path}"


@rule(
    "output-of-pm2-not-rotated",
    "advice",
    "PM2 does not rotate the output of programs",
    why="`~/.pm2/logs` grows until the disk is full: PM2 rotates only with the module "
    "pm2-logrotate.",
    fix="`pm2 install pm2-logrotate`. Portico rotates by itself.",
    example=Example(
        {"ecosystem.config.json": _PM2 % ""},
        {"ecosystem.config.json": _PM2 % ', "out_file": "/dev/null", "error_file": "/dev/null"'},
    ),
)
def output_of_pm2(facts: Facts) -> Iterator[Fault]:
    seen: set[str] = set()
    for program in facts.stack.programs:
        logs = program.table.get("logs")
        kept = not (isinstance(logs, dict) and (logs.get("enabled") is False or "stdout" in logs))
        if program.manager == "pm2" and kept and program.place.file not in seen:
            seen.add(program.place.file)
            if not facts.machine.pm2_rotates:
                yield place_of(program), "PM2 writes the output to files without an end"


@rule(
    "error-log-off",
    "warning",
    "`error_log off`",
    why="There is no such value: nginx writes its errors to a file of the name `off`.",
    fix="Write `error_log /dev/null crit;`, or better keep it.",
    example=server_example("error_log off;\n", "error_log /var/log/nginx/error.log;\n"),
)
def error_log_off(facts: Facts) -> Iterator[Fault]:
    levels = (facts.nginx.main, *facts.nginx.blocks)
    for line in (each for block in levels for each in block.all("error_log")):
        if line.args[:1] == ("off",):
            yield place_of(line), "errors go to a file that is named off"


@rule(
    "error-log-by-default",
    "hint",
    "`error_log` is not set",
    why="Errors go to where the build of nginx says (`nginx -V`).",
    fix="Write `error_log /var/log/nginx/error.log warn;`.",
    example=whole_example(
        "server {\n    listen 80;\n    root /srv;\n}\n",
        "error_log /var/log/nginx/error.log;\nserver {\n    listen 80;\n    root /srv;\n}\n",
    ),
)
def by_default(facts: Facts) -> Iterator[Fault]:
    if facts.nginx.never_sets("error_log") and not facts.nginx.main.first("error_log"):
        yield place_of(facts.nginx.start), "error_log is not set"
