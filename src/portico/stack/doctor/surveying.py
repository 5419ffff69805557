"""Gathers facts of this machine for the rules: once, before any of them runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from portico.importers.renewers import find_renewers
from portico.stack.doctor.certificate_uses import uses
from portico.stack.doctor.machine import FileFacts, Listener, Machine
from portico.stack.doctor.pem_facts import file_facts
from portico.stack.doctor.rule import Facts
from portico.stack.nginx_master import version_output
from portico.stack.reading.pm2 import pm2_home
from portico.system import proc
from portico.system.clock import SystemClock
from portico.system.listening import listening_sockets, socket_owners

_PEMS: Final = (
    "ssl_certificate",
    "ssl_certificate_key",
    "proxy_ssl_certificate_key",
    "ssl_dhparam",
)
_HOOK: Final = re.compile(r"^(installer = nginx|(renew|post)_hook = (?!None))", re.MULTILINE)
_HOOKS: Final = ("deploy", "post")


def survey(facts: Facts, environ: Mapping[str, str], root: Path = Path("/")) -> Machine:
    """Blocks for less than a second. What cannot be looked at is left out."""
    masters = [pid for pid in proc.pids() if _is_nginx(pid)]
    version, arguments = _build(masters[0]) if masters else ((), "")
    return Machine(
        nginx=version,
        nginx_arguments=arguments,
        files=dict(_files(facts)),
        listening=_listeners(),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cores=len(os.sched_getaffinity(0)),
        open_files=_open_files(masters[0]) if masters else None,
        renewers=tuple(
            each.where for each in find_renewers(root) if "/run/systemd/system" not in each.what
        ),
        deploy_hooks=_reloads(root / "etc/letsencrypt"),
        rotated=tuple(_rotated_logs(root)),
        pm2_rotates=(pm2_home(environ) / "modules/pm2-logrotate").exists(),
        now=SystemClock().now(),
    )


def _is_nginx(pid: int) -> bool:
    """Of root or of ours: what another user calls so is not to be run with more rights."""
    return proc.program_name(pid) == "nginx" and proc.user_of(pid) in {0, os.geteuid()}


def _names(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _reloads(certbot: Path) -> bool:
    """Whether certbot reloads nginx after each renewal, by a script or by its own plugin."""
    if any(True for name in _HOOKS for _ in _names(certbot / "renewal-hooks" / name)):
        return True
    confs = [each for each in _names(certbot / "renewal") if each.suffix == ".conf"]
    with suppress(OSError):
        return bool(confs) and all(
            _HOOK.search(each.read_text(errors="replace")) for each in confs
        )
    return False


def _build(pid: int) -> tuple[tuple[int, ...], str]:
    """Version and arguments of what the process runs; another may have been installed since."""
    output = version_output(f"/proc/{pid}/exe")
    arguments = output.partition("configure arguments:")[2]
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", output)
    return (tuple(map(int, found.groups())) if found else ()), arguments


def _open_files(pid: int) -> int | None:
    with suppress(OSError):
        limits = proc.read(f"/proc/{pid}/limits").decode()
        if found := re.search(r"Max open files\s+(\d+)", limits):
            return int(found[1])
    return None


def _listeners() -> Mapping[int, Listener] | None:
    found: dict[int, Listener] = {}
    owners = socket_owners()
    try:
        listening = listening_sockets()
    except OSError:
        return None
    for each in listening:
        pid = owners.get(each.inode)
        name = proc.program_name(pid) if pid else ""
        others = found.get(each.port, Listener())
        wide = others.beyond_loopback or not _is_loopback(each.address)
        found[each.port] = Listener(name or others.program, beyond_loopback=wide)
    return found


def _is_loopback(address: bytes) -> bool:
    return address[:1] == b"\x7f" if len(address) == 4 else address == bytes(15) + b"\1"  # noqa: PLR2004


def _rotated_logs(root: Path) -> Iterator[str]:
    for path in (root / "etc/logrotate.conf", *_names(root / "etc/logrotate.d")):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            for line in re.sub(r"#.*", "", text).splitlines():
                if line.lstrip().startswith(("/", '"/')):
                    yield from line.replace("{", " ").replace('"', " ").split()


def _files(facts: Facts) -> Iterator[tuple[str, FileFacts]]:
    paths = {" ".join(line.args) for _, line in facts.nginx.lines_named(*_PEMS)}
    paths |= {path for use in uses(facts) for path in (use.chain, use.key)}
    for path in sorted(paths):
        if path.startswith("/") and "$" not in path:
            with suppress(OSError):
                yield path, file_facts(Path(path))
