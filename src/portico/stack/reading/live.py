"""What serves on this machine now: the nginx on ports 80 and 443, and the programs behind it.

Nothing is run but `nginx -T` and `nginx -V`, so nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from portico.core.model.nginx_lines import walk
from portico.errors import PorticoError
from portico.importers.certbot import DEFAULT as CERTBOT
from portico.importers.renewers import find_renewers
from portico.stack.model import Gap, Place, Renewal, Stack
from portico.stack.nginx_master import arguments_of, command_of, version_output
from portico.stack.reading.certbot import read_certbot
from portico.stack.reading.nginx import read_nginx
from portico.stack.reading.pm2 import pm2_home, read_pm2
from portico.stack.reading.timer import SYSTEM
from portico.stack.reading.unit import read_service
from portico.system import proc
from portico.system.commands import run_tool
from portico.system.listening import listening_sockets, socket_owners
from portico.system.rights import other_writer

PORTS: Final = (80, 443)
_USUAL_FILE: Final = "/etc/nginx/nginx.conf"
_LOCAL_ADDRESS: Final = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\]):([0-9]{1,5})\b")
_CONFIGURATION: Final = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_BUILT_PATH: Final = re.compile(r"--(prefix|conf-path)=(\S+)")
_TEST_TIMEOUT: Final = 30.0
"""Seconds that `nginx -T` may take."""


def read_live(
    environ: Mapping[str, str], root: Path = Path("/"), ports: tuple[int, ...] = PORTS
) -> Stack:
    """Blocks. What is not there is said once, as a gap. `root` is the folder that the system's
    own are in.
    """
    holders = _holders()
    found = _nginx(holders, ports)
    found += _pm2(environ)
    found += _units(holders, {port for each in found.programs for port in each.ports} | {*ports})
    found += _certbot(root / CERTBOT.relative_to("/"))
    found += Stack(renewals=tuple(_renewals(root)))
    return found + Stack(gaps=tuple(_unknown_ports(found, holders)))


def _holders() -> dict[int, int]:
    """The process that listens on each port of TCP, as far as this user may know."""
    try:
        listening = listening_sockets()
    except OSError:
        return {}
    owners = socket_owners()
    found: dict[int, int] = {}
    for each in listening:
        if each.inode in owners:
            found.setdefault(each.port, owners[each.inode])
    return found


def _nginx(holders: Mapping[int, int], ports: tuple[int, ...]) -> Stack:
    held = {port: holders[port] for port in ports if port in holders}
    masters = {master for pid in held.values() if (master := _master(pid))}
    gaps = [
        _gap(f"port {port}", f"{proc.program_name(pid)} (pid {pid}) listens there, no nginx")
        for port, pid in held.items()
        if not _master(pid)
    ]
    if not held:
        named = " and ".join(map(str, ports))
        gaps.append(_gap("nginx", f"no process that this user may see listens on ports {named}"))
    found = Stack(gaps=tuple(gaps))
    for master in sorted(masters):
        found += _or_gap("nginx", partial(_read_master, master))
    return found


def _read_master(master: int) -> Stack:
    """Its files, the first of which it names itself where it may be run."""
    program, words = _program(master), arguments_of(command_of(master) or "")
    if not program:
        return read_nginx(_main_file("", words))
    done = run_tool((program, "-T", *words), {}, seconds=_TEST_TIMEOUT)
    named = _CONFIGURATION.search(done.stdout)
    found = read_nginx(Path(named[1]) if named else _main_file(program, words))
    if done.returncode:
        said = done.stderr.strip().splitlines()[0]
        why = f"it cannot load its files as they are now, so it runs older ones: {said}"
        found += Stack(gaps=(_gap(f"{program} -T", why),))
    return found


def _master(pid: int) -> int:
    """The master of an nginx that the process belongs to; 0 where it is none."""
    for each in (pid, stat.parent if (stat := proc.stat(pid)) else 0):
        if command_of(each) is not None:
            return each
    return 0


def _main_file(program: str, words: tuple[str, ...]) -> Path:
    """Its configuration: `-c` of its command line, else what it was built with."""
    options = dict(pairwise(words))
    built = dict(_BUILT_PATH.findall(version_output(program))) if program else {}
    prefix = options.get("-p") or built.get("prefix", "/usr/local/nginx")
    named = options.get("-c") or built.get("conf-path") or _USUAL_FILE
    return Path(prefix) / named


def _program(master: int) -> str:
    """Empty where another user can replace it: it must not run as root then."""
    try:
        program = str(Path(f"/proc/{master}/exe").readlink())
    except OSError:
        return ""
    return "" if other_writer(program) else program


def _pm2(environ: Mapping[str, str]) -> Stack:
    """What `pm2 save` has written: asking PM2 itself would start its daemon where none runs."""
    dump = pm2_home(environ) / "dump.pm2"
    if not dump.exists():
        return Stack(gaps=(_gap("PM2", f"{dump} does not exist; `pm2 save` writes it"),))
    return _or_gap("PM2", partial(read_pm2, dump, environ))


def _units(holders: Mapping[int, int], known: set[int]) -> Stack:
    """Programs that an operator's own unit of systemd started and that listen on a port."""
    found, seen = Stack(), set[Path]()
    for port, pid in sorted(holders.items()):
        path = _unit_of(pid) if port not in known else None
        if path is None or path in seen:
            continue
        seen.add(path)
        stack = _or_gap(path.name, partial(read_service, path))
        ports = tuple(each for each, holder in holders.items() if _unit_of(holder) == path)
        programs = [
            replace(each, ports=each.ports or tuple(sorted(ports))) for each in stack.programs
        ]
        found += replace(stack, programs=tuple(programs))
    return found


def _unit_of(pid: int) -> Path | None:
    """Below /etc: the units of packages are no programs to take over."""
    names = proc.units_of(pid)
    path = SYSTEM[0] / names[-1] if names else None
    return path if path and path.is_file() else None


def _certbot(folder: Path) -> Stack:
    if not folder.is_dir():
        return Stack(gaps=(_gap("certbot", f"{folder} does not exist"),))
    return _or_gap("certbot", partial(read_certbot, folder))


def _renewals(root: Path) -> Iterator[Renewal]:
    for each in find_renewers(root):
        file, _, line = each.where.rpartition(":")
        place = Place(file, int(line)) if line.isdecimal() else Place(each.where)
        yield Renewal(place, each.what)


def _unknown_ports(found: Stack, holders: Mapping[int, int]) -> Iterator[Gap]:
    """Ports of this machine that nginx passes requests to, and whose no source has a program."""
    known = {port for each in found.programs for port in each.ports}
    for line in (each for top in found.nginx for each in walk(top)):
        for port in (int(each) for word in line.args for each in _LOCAL_ADDRESS.findall(word)):
            if port not in known:
                known.add(port)
                yield Gap(Place(line.file, line.number), f"port {port}", _holder(port, holders))


def _holder(port: int, holders: Mapping[int, int]) -> str:
    if port not in holders:
        return "no process that this user may see listens there"
    pid = holders[port]
    return f"{proc.program_name(pid)} (pid {pid}) listens there; write [apps] for it yourself"


def _or_gap(what: str, read: Callable[[], Stack]) -> Stack:
    try:
        return read()
    except PorticoError as error:
        return Stack(gaps=(_gap(what, str(error)),))


def _gap(what: str, why: str) -> Gap:
    return Gap(Place("this machine"), what, why)
