"""The files that an operator's file names for nginx: are they there, and whose are they."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from portico.core.model.desired import Desired, absolute
from portico.core.model.issuing import IssuanceSettings
from portico.core.model.site import Folder, Maintenance, Site
from portico.engine.client_files import files_of_clients, problem_of
from portico.errors import Problem
from portico.system.account import Account
from portico.system.rights import barriers, other_writer

_Named: TypeAlias = tuple[str, str, bool]
"""The key of the operator's file, an absolute path, and whether it is a folder."""


def file_problems(desired: Desired) -> Iterator[Problem]:
    """What is missing, and what commands root although others can change it. Blocks."""
    commands = [*_includes(desired), *_programs(desired)]
    for where, path, is_folder in (*_includes(desired), *_for_workers(desired)):
        full = Path(path)
        if not full.exists():
            yield Problem(where, f"{full} does not exist")
        elif is_folder != full.is_dir():
            yield Problem(where, f"{full} is {'not a folder' if is_folder else 'not a file'}")
    for named in files_of_clients(desired):
        if problem := problem_of(named):
            yield Problem(named.where, problem)
    for where, path, _ in commands:
        if writer := other_writer(path):
            yield Problem(
                where,
                f"{path} is read by root, but {writer} can change it",
                "chown the file and the folders above it to root, with chmod go-w",
            )


def file_notes(desired: Desired, workers: Account) -> Iterator[str]:
    """What works and should not be so, or does not work for a visitor. Blocks."""
    for where, path in _own_certificates(desired):
        if writer := other_writer(path):
            yield f"{where}: {writer} can change {path}, which is served to every client"
    for named in files_of_clients(desired):
        if writer := other_writer(named.path):
            yield f"{named.where}: {writer} can change {named.path}, which decides who has access"
    yield from unreadable(desired, workers)


def unreadable(desired: Desired, workers: Account) -> Iterator[str]:
    """What nginx's workers, who answer requests with it, may not read."""
    whose = f" ({workers.name})" if workers.name else ""
    named = list(_for_workers(desired))
    found = barriers(workers, [(path, is_folder) for _, path, is_folder in named])
    for (where, path, is_folder), closed in zip(named, found, strict=True):
        if closed:
            act, mode = ("read", "o+r") if closed == path and not is_folder else ("enter", "o+x")
            yield (
                f"{where}: nginx's workers{whose} may not {act} {closed}, so requests fail; "
                f"chmod {mode} it, or set [edge] user"
            )


def _includes(desired: Desired) -> Iterator[_Named]:
    for path in _paths(desired.edge.include):
        yield "edge.include", path, False
    for name, site in desired.sites.items():
        for path in _paths(site.include):
            yield f'sites."{name}".include', absolute(path, desired.origin(name).folder), False


def _programs(desired: Desired) -> Iterator[_Named]:
    """Those that are run as root; one without a slash is looked up in the system's folders."""
    if desired.edge.nginx:
        yield "edge.nginx", desired.edge.nginx, False
    origins = {name: desired.origin(name) for name in desired.sites}
    files = {each.project: each for each in origins.values()}.values()
    tables: list[tuple[str, str, IssuanceSettings]] = [
        ("tls", each.folder, each.tls) for each in files
    ]
    tables += [
        (f'sites."{name}".tls', origins[name].folder, site.tls)
        for name, site in desired.sites.items()
        if site.tls
    ]
    for where, folder, table in tables:
        for key, words in (
            *(("deploy_hook", hook) for hook in table.hooks),
            ("dns.auth", table.dns.auth if table.dns else ()),
            ("dns.cleanup", table.dns.cleanup if table.dns else ()),
        ):
            if words and "/" in words[0]:
                yield f"{where}.{key}", absolute(words[0], folder), False


def _own_certificates(desired: Desired) -> Iterator[tuple[str, str]]:
    for name, site in desired.sites.items():
        if site.https and (pair := desired.own_certificate(name)):
            yield f'sites."{name}".certificate', pair.certificate
            yield f'sites."{name}".key', pair.key


def _for_workers(desired: Desired) -> Iterator[_Named]:
    for name, site in desired.sites.items():
        folder = desired.origin(name).folder
        for key, path, is_folder in _of_site(site):
            yield f'sites."{name}".{key}', absolute(path, folder), is_folder


def _of_site(site: Site) -> Iterator[_Named]:
    """With paths as they are written."""
    for code, path in site.error_pages.items():
        yield f"error_pages.{code}", path, False
    if isinstance(site.maintenance, Maintenance) and site.maintenance.page:
        yield "maintenance.page", site.maintenance.page, False
    if site.basic_auth and site.basic_auth.file:
        yield "basic_auth.file", site.basic_auth.file, False
    if site.folder:
        yield "folder", _folder(site.folder), True
    for (key, *index), route in site.placed_routes():
        if not isinstance(route, str):
            place = f'routes."{key}"{index or ""}'
            if route.folder:
                yield f"{place}.folder", _folder(route.folder), True
            if route.basic_auth and route.basic_auth.file:
                yield f"{place}.basic_auth.file", route.basic_auth.file, False


def _folder(folder: str | Folder) -> str:
    return folder if isinstance(folder, str) else folder.path


def _paths(paths: str | tuple[str, ...]) -> tuple[str, ...]:
    return (paths,) if isinstance(paths, str) else paths
