"""`portico nginx`: the nginx in use, what it can do, and what another one would bring."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING, Final

from portico.cli.session import Session
from portico.core.model import nginx_verbs
from portico.core.model.place import AUTO

if TYPE_CHECKING:
    from portico.core.model.nginx_views import NginxBuildsView, NginxBuildView

KINDS: Final = {
    "key": "keys of the file",
    "automatic": "used wherever it is there",
    "own lines": "for nginx lines of your own",
}
WIDTH: Final = 100
BUILD_HINT: Final = (
    "nginx.org's packages, or `portico nginx build SOURCE`, are faster; see docs/nginx.md"
)


def show(session: Session) -> None:
    view = session.client(start=True).ask(nginx_verbs.NGINX)
    if session.json:
        session.show_json(view)
        return
    terminal = session.terminal
    if view.problem:
        terminal.write_labelled("problem", view.problem)
    if view.used is not None:
        _show_build(session, view, view.used)
    if view.others:
        terminal.write()
        heads = ("other nginx", "version", "OpenSSL", "built with", "")
        terminal.table(heads, [_row(each) for each in view.others])
    gains = [each for each in view.others if each.gain and not each.lacks]
    if gains:
        terminal.write_labelled(
            "note",
            f"{gains[0].gain} of {gains[0].program} (measured: docs/decisions/0005); run "
            f"`portico nginx use {gains[0].program}`",
        )
    elif view.used and view.used.bundled:
        terminal.write_labelled("note", BUILD_HINT)


def _show_build(session: Session, view: NginxBuildsView, used: NginxBuildView) -> None:
    terminal = session.terminal
    running = f"running, pid {view.pid}" if view.pid else "not running"
    if view.pid and view.running != used.program:
        running += f", as {view.running}"
    terminal.write(f"nginx {used.version}  {used.program} ({running})")
    terminal.write(f"  selected   {_selection(view, used)}")
    terminal.write(f"  OpenSSL    {_openssl(used)}")
    terminal.write(f"  built with {_flags_text(used)}")
    for kind, title in KINDS.items():
        features = [each for each in used.features if each.kind == kind]
        terminal.write(f"  {title}")
        for word, available in (("can", True), ("cannot", False)):
            names = [each.name for each in features if each.available == available]
            if names:
                terminal.write(_list(f"    {word:<7}", names))


def _list(head: str, names: list[str]) -> str:
    return fill("; ".join(names), WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _selection(view: NginxBuildsView, used: NginxBuildView) -> str:
    if view.file:
        return "by [edge] nginx of the file in force"
    if view.selected != AUTO:
        return f"by `portico nginx use {view.selected}`"
    return f"automatically: {'included with Portico' if used.bundled else 'of the system'}"


def _openssl(build: NginxBuildView) -> str:
    if build.openssl_unsupported_since:
        mends = "" if build.bundled else " by OpenSSL itself"
        return f"{build.openssl}, unsupported{mends} since {build.openssl_unsupported_since}"
    return build.openssl or "unknown"


def _flags_text(build: NginxBuildView) -> str:
    return ", ".join(_flags(build))


def _flags(build: NginxBuildView) -> Iterator[str]:
    yield build.optimization or "unknown optimization"
    if build.debugging:
        yield "debugging"
    if not build.pie:
        yield "not position-independent"


def _row(build: NginxBuildView) -> tuple[str, ...]:
    lacks = f"lacks {', '.join(build.lacks)}" if build.lacks else ""
    return build.program, build.version, build.openssl or "-", _flags_text(build), lacks
