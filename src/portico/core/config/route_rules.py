"""Rules of a site's routes: how their paths are written, and where each leads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path, did_you_mean, path_text
from portico.core.config.handling_rules import handling_findings
from portico.core.config.patterns import wrong_with_regex
from portico.core.config.references import app_named, target_named, upstream_named
from portico.core.model.site import Folder, Site, Target

TARGETS = tuple(Target.model_fields)


def route_findings(draft: Draft, path: Path, site: Site) -> Iterator[Finding]:
    for key in site.routes:
        place: Path = (*path, "routes", key)
        yield from _key(place, key)
        if key.startswith("^~ ") and key[3:] in site.routes:
            yield Finding(place, f"is the same path as {path_text((*path, 'routes', key[3:]))}")
    for (key, *index), route in site.placed_routes():
        here: Path = (*path, "routes", key, *index)
        if isinstance(route, str):
            yield from target_named(draft, here, route)
            continue
        yield from target_findings(draft, here, route)
        yield from handling_findings(draft, here, route, targets_of(route))
        doubts = draft.may_be_set(here, *TARGETS) or draft.may_be_set(path, *TARGETS)
        if not targets_of(route) and not targets_of(site) and not doubts:
            yield Finding(here, "needs app, upstream, folder or redirect: the site has none")
        if route.require_client_certificate and not site.client_certificates:
            what = "needs client_certificates of the site"
            yield Finding((*here, "require_client_certificate"), what)
        if route.strip_prefix and not key.startswith(("/", "^~")):
            kind = "a regex" if key.startswith("~") else "an exact path"
            yield Finding((*here, "strip_prefix"), f"needs a prefix, but the route is {kind}")


def targets_of(target: Target) -> list[str]:
    """The keys that say where requests go."""
    return [key for key in TARGETS if getattr(target, key) is not None]


def target_findings(draft: Draft, path: Path, target: Target) -> Iterator[Finding]:
    targets = targets_of(target)
    if {*targets} in ({"app", "folder"}, {"upstream", "folder"}):
        yield from _beside_files(path, targets[0], target.folder)
    elif len(targets) > 1:
        yield Finding(path, f"has {' and '.join(targets)}; set only one")
    if target.app is not None:
        yield from app_named(draft, (*path, "app"), target.app)
    if target.upstream is not None:
        yield from upstream_named(draft, (*path, "upstream"), target.upstream)


def _beside_files(path: Path, passed: str, folder: str | Folder | None) -> Iterator[Finding]:
    """What no file answers is passed on, so nothing else may answer it."""
    for key in ("spa", "listing"):
        if isinstance(folder, Folder) and getattr(folder, key):
            yield Finding((*path, "folder", key), f"cannot be combined with {passed}")


def _key(path: Path, key: str) -> Iterator[Finding]:
    if found := re.fullmatch(r"~\*? (\S.*)", key):
        if wrong := wrong_with_regex(found[1]):
            yield Finding(path, wrong)
    elif not re.fullmatch(r"((=|\^~) )?/[^\x00-\x1f\x7f]*", key):
        what = 'must be "/prefix", "= /exact", "~ regex", "~* regex" or "^~ /prefix"'
        yield Finding(path, what, _right_key(key))
    elif "?" in key:
        yield Finding(path, "never matches: it is compared with a request's path, which has no ?")


def _right_key(key: str) -> str | None:
    if found := re.fullmatch(r"(=|~\*?|\^~)\s*(\S.*)", key):
        return did_you_mean(" ".join(found.groups()))
    return did_you_mean(f"/{key}") if re.fullmatch(r"[A-Za-z0-9_./-]+", key) else None
