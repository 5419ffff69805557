"""Rules of error pages: for which errors of apps a site has one."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path
from portico.core.model.site import RequestSettings, Site


def page_findings(draft: Draft, path: Path, site: Site) -> Iterator[Finding]:
    if draft.may_be_set(path, "error_pages"):
        return
    yield from _missing_pages(path, site, site)
    for place, route in site.placed_routes():
        if not isinstance(route, str):
            yield from _missing_pages((*path, "routes", *place), route, site)


def _missing_pages(path: Path, handling: RequestSettings, site: Site) -> Iterator[Finding]:
    chosen, here = handling.proxy_intercept_errors, (*path, "proxy_intercept_errors")
    if chosen and not site.error_pages:
        yield Finding(here, "needs error_pages, which the site does not have")
    elif isinstance(chosen, tuple):
        for status in chosen:
            if str(status) not in site.error_pages:
                yield Finding(here, f"has {status}, for which error_pages has no file")
