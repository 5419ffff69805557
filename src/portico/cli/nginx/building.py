"""`portico nginx build`: an nginx compiled for this machine, from a source of the operator."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Final

from portico.cli.nginx.using import use
from portico.cli.session import Session
from portico.cli.watching import Spinner
from portico.client.nginx_build import Progress, build_nginx, missing_packages
from portico.client.nginx_source import Evidence, read_source
from portico.core.model import nginx_verbs
from portico.errors import Refused
from portico.system.clock import SystemClock

QUARTERS: Final = 4


def build(session: Session, args: Namespace) -> None:
    """Everything that can be refused is, before anything changes."""
    clock = SystemClock()
    evidence = Evidence(args.sha256, _path(args.signature), _path(args.keyring))
    source = read_source(Path(args.name).absolute(), evidence, session.environ)
    if missing := missing_packages(session.environ):
        raise Refused(
            f"cannot build nginx: this machine lacks {', '.join(missing)}; on Debian and Ubuntu: "
            f"apt install {' '.join(missing)}. Nothing was changed"
        )
    if not args.no_use and (file := session.client(start=True).ask(nginx_verbs.NGINX).file):
        raise Refused(
            f"the file in force sets [edge] nginx = {file}, which decides; remove that key, or "
            "build with --no-use. Nothing was changed"
        )
    start = clock.monotonic()
    progress = _Progress(session, f"building nginx {source.version}")
    modules = [Path(each).absolute() for each in args.add_module or ()]
    program = build_nginx(source, modules, session.home, session.environ, progress.show)
    progress.clear()
    seconds = round(clock.monotonic() - start, 1)
    session.terminal.write_stderr(f"  built {program} in {seconds:g} s")
    if not args.no_use:
        use(session, str(program))
    elif session.json:
        session.show_json({"program": str(program), "version": source.version})
    else:
        session.terminal.write(str(program))


class _Progress:
    """A spinner on a terminal; elsewhere a line for each step, and for each quarter of it."""

    def __init__(self, session: Session, label: str) -> None:
        self._stderr, self._label = session.terminal.err, label
        self._spinner = Spinner(self._stderr, label)
        self._written: set[tuple[str, int]] = set()

    def show(self, now: Progress) -> None:
        text = f"{self._label}: {now}"
        self._spinner.show(text)
        self._spinner.advance()
        quarter = now.done * QUARTERS // now.total if now.total else 0
        if not self._stderr.live and (now.step, quarter) not in self._written:
            self._written.add((now.step, quarter))
            self._stderr.write(f"  {text}\n")

    def clear(self) -> None:
        self._spinner.clear()


def _path(text: str | None) -> Path | None:
    return Path(text).absolute() if text else None
