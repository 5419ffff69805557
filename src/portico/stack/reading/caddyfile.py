"""Caddyfiles as sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.core.model.names import is_local_name
from portico.core.model.nginx_lines import Line
from portico.stack.model import Gap, Place, Site, Stack
from portico.stack.reading.caddy_addresses import Addresses, addresses_of
from portico.stack.reading.caddy_site import CaddySite
from portico.stack.reading.caddyfile_lines import read_caddyfile
from portico.stack.reading.text_files import quote_line

_CADDY_OPTIONS = frozenset(("admin", "debug", "persist_config", "skip_install_trust", "order"))
"""Global options that say nothing about sites."""
_TARGETS: Final = frozenset(("app", "folder", "redirect", "routes"))
_DNS_TEXT: Final = (
    "a certificate for all names below one is obtained by DNS: set tls.dns. Until then it is one "
    "of the local authority"
)


def read_caddy(path: Path, environ: Mapping[str, str]) -> Stack:
    """Raises Failed where it cannot be read."""
    blocks, files = read_caddyfile(path, environ)
    gaps: list[Gap] = []
    options = _Options.of(blocks, gaps)
    sites: dict[str, Site] = {}
    for block in blocks:
        if block.name:
            _add(block, options, sites, gaps)
    return Stack(sites=tuple(sites.values()), caddy=blocks, gaps=tuple(gaps), files=tuple(files))


def words_of(line: Line) -> str:
    return quote_line(" ".join((line.name, *line.args, *(("{ … }",) if line.block else ()))))


@dataclass(frozen=True, slots=True)
class _Options:
    """The global ones that hold for all sites."""

    tls: Mapping[str, object]
    table: Mapping[str, object]

    @classmethod
    def of(cls, blocks: tuple[Line, ...], gaps: list[Gap]) -> _Options:
        tls: dict[str, object] = {}
        table: dict[str, object] = {}
        for line in (line for block in blocks if not block.name for line in block.block or ()):
            match line.name, line.args:
                case "email", (email,):
                    tls["email"] = email
                case "acme_ca", (url,):
                    tls["issuer"] = url
                case "local_certs", ():
                    tls["issuer"] = "local"
                case "auto_https", ("off",):
                    table["https"] = False
                case "auto_https", ("disable_redirects",):
                    table["redirect_http"] = False
                case name, _ if name in _CADDY_OPTIONS:
                    pass
                case _:
                    why = "this global option has no equivalent; see [edge] and [tls]"
                    gaps.append(Gap(Place(line.file, line.number), words_of(line), why))
        return cls(tls, table)


def _add(block: Line, options: _Options, sites: dict[str, Site], gaps: list[Gap]) -> None:
    place = Place(block.file, block.number)
    found = addresses_of((block.name, *block.args))
    gaps.extend(Gap(place, quote_line(text), why) for text, why in found.gaps)
    if not found.names:
        return
    reader = CaddySite(found.names[0], block)
    gaps.extend(
        Gap(Place(line.file, line.number), words_of(line), why) for line, why in reader.gaps
    )
    table = {**_with_names(found), **options.table, **reader.table}
    if not table.keys() & _TARGETS:
        gaps.append(Gap(place, words_of(block), "nothing that has an equal answers for this site"))
        return
    if tls := _tls(table, options, found.names):
        table["tls"] = tls
        if tls.get("issuer") == "local" and any(name[0] == "*" for name in found.names):
            gaps.append(Gap(place, words_of(block), _DNS_TEXT))
    site = Site(found.names[0], place, table, reader.upstreams)
    other = sites.get(site.name)
    if other is None or _only_redirects(other):
        sites[site.name] = site
    elif not _only_redirects(site):
        gaps.append(Gap(place, words_of(block), f"{site.name} has another block, which is taken"))


def _tls(
    table: Mapping[str, object], options: _Options, names: list[str]
) -> dict[str, object] | None:
    if table.get("https") is False or "certificate" in table:
        return None
    own = table.get("tls")
    tls = {**options.tls, **(own if isinstance(own, Mapping) else {})}
    needs_dns = any(name[0] == "*" and not is_local_name(name) for name in names)
    return {**tls, "issuer": "local"} if needs_dns else tls


def _with_names(found: Addresses) -> dict[str, object]:
    table: dict[str, object] = {}
    if found.names[1:]:
        table["aliases"] = list(found.names[1:])
    if found.is_default:
        table["default"] = True
    if not found.https:
        table["https"] = False
    if not found.redirects:
        table["redirect_http"] = False
    return table


def _only_redirects(site: Site) -> bool:
    """Whether it is what Portico does by itself: redirect http to https."""
    to = site.table.get("redirect")
    url = to.get("to") if isinstance(to, Mapping) else to
    return site.table.get("https") is False and url == f"https://{site.name}"
