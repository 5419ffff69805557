"""Compose files: what is published to the network, and what happens to a container that ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.proxied_programs import balanced_ports
from portico.stack.doctor.rule import Example, Facts, Fault, rule
from portico.stack.model import Container

_FILE: Final = "compose.yaml"
_DATABASES: Final = {
    1433: "SQL Server", 2379: "etcd", 3306: "MySQL", 5432: "PostgreSQL", 5672: "RabbitMQ",
    6379: "Redis", 8086: "InfluxDB", 9042: "Cassandra", 9200: "Elasticsearch", 9092: "Kafka",
    11211: "memcached", 15672: "RabbitMQ", 27017: "MongoDB",
}  # fmt: skip
_PUBLISHED_PORT: Final = re.compile(
    r"(?:(?P<address>\[[0-9a-fA-F:]+\]|[0-9]+[.][0-9.]+):)?(?:(?P<outside>\d+)(?:-\d+)?:)?"
    r"(?P<inside>\d+)(?:-\d+)?(?:/tcp)?"
)
_LOOPBACK: Final = ("127.", "[::1]", "::1")


def _example(before: str, after: str, **other: str) -> Example:
    head = "services:\n"
    return Example({_FILE: head + before, **other}, {_FILE: head + after, **other})


def _service(name: str, image: str, *lines: str) -> str:
    logging = "logging: {driver: local}"
    return f"  {name}:\n    image: {image}\n" + "".join(
        f"    {line}\n" for line in ("restart: unless-stopped", logging, *lines)
    )


def _published_ports(container: Container) -> Iterator[tuple[int, int]]:
    """Ports of the machine that other machines reach, and those of the container they lead to."""
    ports = container.table.get("ports")
    for port in ports if isinstance(ports, list) else ():
        if isinstance(port, dict):
            address, inside = str(port.get("host_ip", "")), str(port.get("target", ""))
            outside = str(port.get("published", ""))
        elif found := _PUBLISHED_PORT.fullmatch(str(port)):
            address, inside, outside = found["address"] or "", found["inside"], found["outside"]
        else:
            continue
        if inside.isdecimal() and not address.startswith(_LOOPBACK):
            yield (int(outside) if (outside or "").isdecimal() else 0), int(inside)


@rule(
    "database-open-to-network",
    "error",
    "A port of a database is published to the network",
    why="`ports` without an address listens on all of them, and Docker's own rules come before "
    "those of ufw: the database is open to everyone, firewall or not.",
    fix="Leave `ports` out, because containers of one file reach each other by name, or write "
    "`127.0.0.1:5432:5432`.",
    example=_example(
        _service("db", "postgres:17", 'ports: ["5432:5432"]'),
        _service("db", "postgres:17", 'ports: ["127.0.0.1:5432:5432"]'),
    ),
)
def database_open(facts: Facts) -> Iterator[Fault]:
    for container in facts.stack.containers:
        for _, inside in _published_ports(container):
            if inside in _DATABASES:
                where = f"{_DATABASES[inside]} (port {inside}) of {container.name}"
                yield container.at("ports"), f"{where} is published on all addresses"


@rule(
    "container-behind-proxy-open",
    "warning",
    "A container behind nginx is published to the network",
    why="Clients reach it past nginx: without TLS, limits and access rules, and with an "
    "X-Forwarded-For of their choice. Docker's own rules come before those of ufw.",
    fix="Publish it on loopback: `127.0.0.1:3000:3000`.",
    example=_example(
        _service("web", "shop:1", 'ports: ["3000:3000"]'),
        _service("web", "shop:1", 'ports: ["127.0.0.1:3000:3000"]'),
        **{"site.conf": "upstream web {\n    server 127.0.0.1:3000;\n    keepalive 8;\n}\n"},
    ),
)
def behind_proxy(facts: Facts) -> Iterator[Fault]:
    passed = balanced_ports(facts)
    for container in facts.stack.containers:
        for outside, _ in _published_ports(container):
            if outside in passed:
                what = f"port {outside} of {container.name}, to which nginx passes,"
                yield container.at("ports"), f"{what} is published on all addresses"


@rule(
    "container-without-restart",
    "warning",
    "A container that is not started again",
    why="`restart` is `no` by default: after a crash, and after a reboot of the machine, the "
    "container is not started.",
    fix="Write `restart: unless-stopped`.",
    example=_example(
        '  web:\n    image: shop:1\n    logging: {driver: local}\n    ports: ["80:80"]\n',
        _service("web", "shop:1", 'ports: ["80:80"]'),
    ),
)
def without_restart(facts: Facts) -> Iterator[Fault]:
    for container in facts.stack.containers:
        restart = str(container.table.get("restart", "no")).lower()
        serves = (
            any(True for _ in _published_ports(container)) and "profiles" not in container.table
        )
        if serves and restart in {"no", "false"} and not _has_policy(container):
            yield container.at("restart"), f"{container.name} is not started again"


def _has_policy(container: Container) -> bool:
    deploy = container.table.get("deploy")
    return isinstance(deploy, dict) and "restart_policy" in deploy


@rule(
    "container-logs-unbounded",
    "advice",
    "Logs of containers without a limit",
    why="Docker's default driver, json-file, keeps everything that a container prints until the "
    "disk is full, unless /etc/docker/daemon.json limits it.",
    fix="Write `logging: {driver: local}`, which rotates by itself, or `max-size` in "
    "/etc/docker/daemon.json.",
    example=_example(
        "  web:\n    image: shop:1\n    restart: always\n", _service("web", "shop:1")
    ),
)
def logs_unbounded(facts: Facts) -> Iterator[Fault]:
    seen: dict[str, list[Container]] = {}
    for container in facts.stack.containers:
        logging = container.table.get("logging")
        settings = logging if isinstance(logging, dict) else {}
        options = settings.get("options") or {}
        is_unbounded = settings.get("driver", "json-file") == "json-file"
        if is_unbounded and "max-size" not in options and "extends" not in container.table:
            seen.setdefault(container.place.file, []).append(container)
    for first, *others in seen.values():
        names = ", ".join(each.name for each in (first, *others))
        yield first.at("logging"), f"no limit for the logs of {names}"


@rule(
    "docker-socket-mounted",
    "warning",
    "A container has Docker's socket",
    why="A program that can use the socket can start a container with the whole disk of the "
    "machine in it, also where it is mounted read-only: the program is root on the machine.",
    fix="Leave it out, or put a proxy of the socket between that allows reading only.",
    example=_example(
        _service("web", "proxy:1", 'volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]'),
        _service("web", "proxy:1"),
    ),
)
def docker_socket(facts: Facts) -> Iterator[Fault]:
    for container in facts.stack.containers:
        volumes = container.table.get("volumes")
        for each in volumes if isinstance(volumes, list) else ():
            source = each.get("source") if isinstance(each, dict) else str(each).partition(":")[0]
            if source in {"/var/run/docker.sock", "/run/docker.sock"}:
                yield container.at("volumes"), f"{container.name} can do all that root can"


@rule(
    "container-privileged",
    "warning",
    "A container with `privileged: true`",
    why="It has all devices and capabilities of the machine: a hole in the program is one in the "
    "machine.",
    fix="Name what it needs in `cap_add` and `devices`.",
    example=_example(
        _service("web", "shop:1", "privileged: true"),
        _service("web", "shop:1", "cap_add: [NET_ADMIN]"),
    ),
)
def privileged(facts: Facts) -> Iterator[Fault]:
    for container in facts.stack.containers:
        if container.table.get("privileged") is True:
            yield container.at("privileged"), f"{container.name} has all rights of the machine"
