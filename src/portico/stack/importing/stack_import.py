"""A stack as one table of portico.toml, with the files that it includes and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portico.core.model.nginx_lines import Line
from portico.stack.importing import include_file
from portico.stack.importing.definitions import Definitions
from portico.stack.importing.joining import Apps, apps_of
from portico.stack.importing.main_block import edge_of
from portico.stack.importing.other_sites import site_table
from portico.stack.importing.part import DONE_OUTCOME, Outcome, OutcomeKind, Part, lost
from portico.stack.importing.report import Report
from portico.stack.importing.rules.table import outcome_of
from portico.stack.importing.server import server_of
from portico.stack.importing.sites import Sites, sites_of
from portico.stack.importing.streams import streams_of
from portico.stack.importing.targets import Targets
from portico.stack.model import Gap, Place, Stack

_MAIN = frozenset({"http", "stream", "mail", "events"})
_SINGLE_DIRECTIVES = frozenset(
    {
        *("limit_req_zone", "limit_conn_zone", "log_format", "proxy_cache_path", "include"),
        *("fastcgi_cache_path", "uwsgi_cache_path", "scgi_cache_path"),
    }
)
_MODULE_PREFIXES = ("js_", "lua_", "init_by_lua", "init_worker_by_lua", "perl_", "geoip")


@dataclass(frozen=True, slots=True)
class ImportedStack:
    table: dict[str, object]
    """As in portico.toml."""
    sources: Mapping[tuple[str, ...], Place]
    """Where a table or a key comes from, by its path."""
    files: Mapping[str, str]
    """nginx lines that the table includes, by path relative to the file."""
    gaps: tuple[Gap, ...]
    outcome_kinds: Mapping[int, OutcomeKind] = field(default_factory=dict)
    """By the identity of a line of the stack."""


def import_stack(stack: Stack, folder: Path) -> ImportedStack:
    """`folder` is where portico.toml will be, absolute. Pure but for looking at nginx's files."""
    report = Report(list(stack.gaps))
    apps = apps_of(stack.programs, folder)
    main, http = _levels(stack.nginx)
    definitions = Definitions.of(http)
    others = {each.args[0]: each for site in stack.sites for each in site.upstreams}
    blocks = {**others, **definitions.upstreams}
    targets = Targets(apps.tables, apps.ports, apps.sockets, blocks, report)
    inherited = tuple(line for line in http if _is_inherited(line))
    servers = [
        server_of(line, inherited, definitions, targets, report)
        for line in http
        if line.name == "server"
    ]
    edge, edge_sources = edge_of(main, servers, report)
    sites = sites_of(servers, edge, stack.lineages, report, folder)
    _settle_inherited(inherited, definitions, report)
    modules = [line for line in http if _is_of_module(line)]
    streams = streams_of(main, targets, report)
    for site in stack.sites:
        sites.tables.setdefault(site.name, site_table(site, targets))
        sites.sources.setdefault((site.name,), site.place)
    used = {*_texts(sites.tables), *_texts(streams.tables)}
    upstreams = {name: each for name, each in targets.upstreams.items() if name in used}
    files = _files(sites, modules, definitions, targets, report)
    if include_file.HTTP_FILE in files:
        edge["include"] = include_file.HTTP_FILE
    table = {
        "apps": apps.tables,
        "upstreams": upstreams,
        "sites": sites.tables,
        "streams": streams.tables,
        "tls": sites.tls,
        "edge": edge,
    }
    _list_renewals(stack, report)
    _settle_rest(stack.nginx, report)
    sources = dict(_sources(apps, targets, sites, streams.sources, edge_sources))
    return ImportedStack(
        {key: value for key, value in table.items() if value},
        sources,
        files,
        _in_order(report.gaps),
        report.outcome_kinds,
    )


def _texts(value: object) -> Iterator[str]:
    """All texts of tables: names of upstreams are among them."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
        case _:
            pass


def _levels(lines: tuple[Line, ...]) -> tuple[list[Line], list[Line]]:
    """The lines of the main level, and those of http blocks. A file of sites has no block."""
    main_files = {line.file for line in lines if line.name in _MAIN}
    main, http = list[Line](), list[Line]()
    for line in lines:
        is_main = line.file in main_files or line.name in {*_MAIN, "load_module"}
        (main if is_main else http).append(line)
    inner = [each for line in main if line.name == "http" for each in line.block or ()]
    return main, [*inner, *http]


def _is_inherited(line: Line) -> bool:
    """Whether a line of the http block holds in each server that has none of the name."""
    return line.block is None and line.name not in _SINGLE_DIRECTIVES and not _is_of_module(line)


def _is_of_module(line: Line) -> bool:
    """Whether it defines what lines of a module name: Lua, njs, Perl, GeoIP."""
    return line.name.startswith(_MODULE_PREFIXES)


def _settle_inherited(
    inherited: tuple[Line, ...], definitions: Definitions, report: Report
) -> None:
    """Lines of the http block that no server has used."""
    part = Part(inherited, definitions)
    for line in inherited:
        if id(line) not in report.outcome_kinds:
            outcome = outcome_of(line, part)
            report.settle(
                line, DONE_OUTCOME if outcome.kind is not OutcomeKind.LISTED else lost(outcome.why)
            )


def _files(
    sites: Sites,
    modules: list[Line],
    definitions: Definitions,
    targets: Targets,
    report: Report,
) -> dict[str, str]:
    """By path relative to portico.toml."""
    servers = [*sites.servers]
    every = [*servers, *(line for lines in sites.kept.values() for line in lines)]
    needed = [*(modules if every else ()), *definitions.needed_lines(every)]
    ours = {*targets.upstreams, *targets.apps}
    names = {name: f"{name}-nginx" for name in definitions.upstreams if name in ours}
    for line in needed:
        report.all_of(line, OutcomeKind.KEPT)
    whole = [include_file.rename_upstreams(line, names) for line in (*needed, *servers)]
    files = {include_file.HTTP_FILE: include_file.text_of(whole)} if whole else {}
    for site, lines in sites.kept.items():
        files[include_file.file_of(site)] = include_file.text_of(
            include_file.rename_upstreams(line, names) for line in lines
        )
    return files


def _list_renewals(stack: Stack, report: Report) -> None:
    for renewal in stack.renewals:
        why = "Portico renews certificates by itself; remove this once it serves them"
        report.gaps.append(Gap(renewal.place, renewal.command, why))


def _settle_rest(lines: tuple[Line, ...], report: Report) -> None:
    """Blocks follow from their lines; definitions that nothing names do nothing here."""
    for line in lines:
        if line.name in {"http", "stream", "events"}:
            report.outcome_kinds.setdefault(id(line), OutcomeKind.CARRIED)
            _settle_rest(line.block or (), report)
        elif id(line) not in report.outcome_kinds:
            report.settle(line, _rest_outcome(line))


def _rest_outcome(line: Line) -> Outcome:
    if line.name == "upstream":
        return lost("nothing leads there")
    if line.name == "mail":
        return lost("Portico serves HTTP, TCP and UDP, no mail proxy")
    if line.name == "include":
        return lost("")
    if outcome_of(line, Part((), Definitions())).kind is OutcomeKind.DONE:
        return DONE_OUTCOME
    return lost("Portico has no key for it")


def _sources(
    apps: Apps,
    targets: Targets,
    sites: Sites,
    streams: Mapping[str, Place],
    edge: Mapping[str, Place],
) -> Iterator[tuple[tuple[str, ...], Place]]:
    for name, place in apps.places.items():
        yield ("apps", name), place
    for (name, key), place in targets.sources.items():
        kind = "apps" if name in targets.apps else "upstreams"
        yield (kind, name, key) if key else (kind, name), place
    for path, place in sites.sources.items():
        yield ("sites", *path), place
    for name, place in streams.items():
        yield ("streams", name), place
    for name, place in edge.items():
        yield ("edge", name), place


def _in_order(gaps: list[Gap]) -> tuple[Gap, ...]:
    """Each once; a line of the http block is looked at for every server."""
    return tuple(sorted(dict.fromkeys(gaps)))
