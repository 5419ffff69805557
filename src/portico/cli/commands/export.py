"""`portico export`: plain files that do the same without Portico, as far as that is possible."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.formatting import count_text
from portico.cli.local_file import local_file
from portico.cli.session import Session
from portico.core.config.edge_rules import Machine
from portico.core.model import certificate_verbs
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.place import Build
from portico.core.render.generation import MAIN
from portico.errors import Failed, Refused, Unreachable
from portico.stack.export import nginx
from portico.stack.export.ecosystem import ecosystem
from portico.stack.export.kubernetes import app_objects, loopback_commands, manifest
from portico.stack.export.kubernetes_keys import REFUSED_KEYS, RefusedKey
from portico.stack.export.losses import losses
from portico.stack.export.processes import Process, ports_of, processes, with_servers
from portico.stack.export.sites import site_objects
from portico.stack.export.units import lost_schedules, units
from portico.system import files
from portico.system.commands import run_tool

_TARGETS: Final = ("nginx", "systemd", "pm2", "kubernetes")
_MANIFEST: Final = "kubernetes.yaml"
_TEST_TIMEOUT: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A file, as far as an export depends on it."""

    project: str
    document: Document
    desired: Desired
    """With servers in the place of apps."""
    processes: list[Process]
    machine: Machine


def options(parser: Parser) -> None:
    parser.add_argument(
        "target",
        metavar="TARGET",
        choices=_TARGETS,
        help="nginx, systemd, pm2 or kubernetes",
    )
    file_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        default="portico-export",
        help="where to write the files; default: portico-export",
    )
    parser.add_argument(
        "--nginx",
        metavar="PROGRAM",
        help="the nginx that will read the files; default: the nginx in PATH",
    )
    parser.add_argument(
        "--image",
        metavar="[APP=]IMAGE",
        action="append",
        default=[],
        help="kubernetes: the image of an app, or of all others; can be repeated",
    )
    parser.add_argument(
        "--gateway",
        metavar="CLASS",
        default="",
        help="kubernetes: write a Gateway of this class and HTTPRoutes instead of Ingresses",
    )
    parser.add_argument(
        "--without",
        metavar="KEY",
        action="append",
        default=[],
        help="kubernetes: leave out a key that has no equivalent, which is refused otherwise; "
        "can be repeated",
    )


def run(session: Session, args: Namespace) -> None:
    source, folder = _read(session, args), Path(args.output).absolute()
    program = shutil.which(args.nginx or "nginx", path=session.environ.get("PATH"))
    if args.nginx and program is None:
        raise Refused(f"there is no program {args.nginx}; nothing was written")
    lost = list(losses(source.document, args.target))
    match args.target:
        case "nginx":
            build = _build(program, session.environ)
            lost += nginx.unable(source.document, source.desired, build)
            written = nginx.with_room(
                nginx.nginx_files(source.desired, build, folder, source.machine)
            )
        case "systemd":
            words = (program or "/usr/sbin/nginx", "-c", f"{folder}/nginx.conf")
            lost += [
                f"{name}: schedule {cron!r} has no calendar event: write the timer by hand"
                for name, cron in lost_schedules(source.processes).items()
            ]
            before = words if source.desired.needs_nginx else ()
            written = units(source.project, source.processes, before)
        case "kubernetes":
            written, more = _kubernetes(source, args.image, args.gateway, args.without)
            lost += more
        case _:
            written = {"ecosystem.config.json": ecosystem(source.project, source.processes)}
    # An environment may hold secrets; what nginx reads holds hashes of passwords only.
    _write(folder, written, 0o644 if args.target == "nginx" else 0o600)
    if args.target == "nginx":
        missing = _copy_certificates(session, source.desired, folder)
        lost += missing or _test_with_nginx(program, folder, session.environ)
    _report(session, folder, written, lost)


def _read(session: Session, args: Namespace) -> _Source:
    found = documents.read(session, args)
    local = local_file(found, session.home)
    ports = ports_of(local.desired)
    try:
        every = processes(local.desired, ports, found.environ)
    except ValueError as error:
        raise Refused(f"cannot use {found.source}: {error}; nothing was written") from error
    servers = with_servers(local.desired, ports)
    return _Source(local.project, local.document, servers, every, local.machine)


def _kubernetes(
    source: _Source, given: list[str], gateway: str, without: list[str]
) -> tuple[dict[str, str], list[str]]:
    """The files, and what is lost of the sites."""
    parts = [each.rpartition("=") for each in given]
    images = {app: image for app, _, image in parts}
    apps = source.desired.apps
    if unknown := [name for name in images if name and name not in apps]:
        raise Refused(f"--image: there is no app {', '.join(unknown)}; nothing was written")
    if missing := [name for name in apps if name not in images and "" not in images]:
        raise Refused(f"{', '.join(missing)}: set --image APP=IMAGE; nothing was written")
    sites = site_objects(source.project, source.document, source.desired, gateway)
    left_out = _left_out(sites.refused, without)
    first = {each.app_name: each for each in source.processes if each.slot == 1}
    objects = [
        each
        for name, app in apps.items()
        for each in app_objects(source.project, app, first[name], images.get(name) or images[""])
    ]
    every = [*objects, *sites.objects]
    names = Counter((each["kind"], each["metadata"]["name"]) for each in every)
    if twice := [f"{kind} {name}" for (kind, name), count in names.items() if count > 1]:
        raise Refused(
            f"two apps would both be {', '.join(twice)}; rename one. Nothing was written"
        )
    lost = [*loopback_commands(source.processes), *left_out, *sites.lost]
    return {_MANIFEST: manifest(every)}, lost


def _left_out(refused: list[RefusedKey], without: list[str]) -> list[str]:
    """Raises Refused for a key that is not left out on purpose."""
    if unknown := sorted({*without} - REFUSED_KEYS):
        raise Refused(
            f"--without {unknown[0]}: must be a key that is refused; nothing was written. Export "
            "without it to see which ones are"
        )
    if rest := [each for each in refused if each.name not in without]:
        lines = "\n".join(f"  {each}" for each in rest)
        keys = " ".join(f"--without={name}" for name in sorted({each.name for each in rest}))
        raise Refused(
            f"Kubernetes has no equivalent for\n{lines}\nNothing was written; change the file, or "
            f"add {keys} where the cluster does this"
        )
    return list(map(str, refused))


def _build(program: str | None, environ: Mapping[str, str]) -> Build:
    """What the nginx of this machine can do; what one usually can where there is none."""
    build = nginx.USUAL_BUILD
    if program:
        done = run_tool([program, "-V"], environ, seconds=_TEST_TIMEOUT)
        read = nginx.build_of(program, done.stderr + done.stdout)
        if read is None:
            raise Refused(f"{program} -V does not report an nginx version; nothing was written")
        build = read
    return nginx.with_abilities(build)


def _write(folder: Path, written: Mapping[str, str], mode: int) -> None:
    try:
        for name, text in written.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            files.write(folder / name, text, mode)
        if MAIN in written:
            for each in nginx.FOLDERS:
                (folder / each).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"cannot write {error.filename}: {error.strerror}") from error


def _copy_certificates(session: Session, desired: Desired, folder: Path) -> list[str]:
    """Those that Portico holds; says of which sites there is none."""
    held = _held_certificates(session)
    missing = []
    for site, table in desired.sites.items():
        if not table.https or desired.own_certificate(site):
            continue
        pair = nginx.pair_of(desired, site, folder)
        source = held.get(site) or _newest_local(session.home.certificates / "local" / site)
        if source is None:
            missing.append(f"{site}: has no certificate here; put one at {pair.certificate}")
            continue
        Path(pair.key).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for target in (pair.certificate, pair.key):
            files.write(Path(target), (source / Path(target).name).read_bytes())
    return missing


def _held_certificates(session: Session) -> dict[str, Path]:
    """Folders of those of authorities, by the names that they cover."""
    with suppress(Unreachable):
        views = session.client().ask(certificate_verbs.CERTIFICATES)
        return {name: Path(view.folder) for view in views if view.folder for name in view.names}
    return {}


def _newest_local(folder: Path) -> Path | None:
    """The folder of the last certificate that the local authority has signed for a site."""
    numbers = [int(each.name) for each in folder.glob("[0-9]*") if each.name.isdecimal()]
    return folder / str(max(numbers)) if numbers else None


def _test_with_nginx(program: str | None, folder: Path, environ: Mapping[str, str]) -> list[str]:
    """What nginx itself says of the files; empty if it takes them."""
    if program is None:
        return []
    words = [program, "-t", "-q", "-e", "stderr", "-c", f"{folder}/{MAIN}"]
    done = run_tool(words, environ, seconds=_TEST_TIMEOUT)
    return [f"{program} -t: {line}" for line in done.stderr.splitlines()[:3] if done.returncode]


def _report(session: Session, folder: Path, written: Mapping[str, str], lost: list[str]) -> None:
    if session.json:
        session.show_json({"folder": str(folder), "files": sorted(written), "lost": lost})
        return
    session.terminal.write(f"{folder}: {count_text(len(written), 'file')}")
    for each in lost:
        session.terminal.write_labelled("note", each)
