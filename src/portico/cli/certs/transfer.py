"""`portico certs import` and `export`: from certbot and back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from portico.cli.certs.showing import write_renewers
from portico.cli.documents import write_notes
from portico.cli.session import Session
from portico.core.model import certificate_verbs
from portico.importers.certbot import DEFAULT

if TYPE_CHECKING:
    from portico.core.model.certificate_views import ImportView


def import_certificates(session: Session, folder: str | None) -> None:
    client = session.client(start=True)
    view = client.ask(certificate_verbs.IMPORT, folder=str(Path(folder or DEFAULT).absolute()))
    if session.json:
        session.show_json(view)
        return
    _show(session, view)
    if with_settings := [each for each in view.taken if each.settings]:
        session.terminal.write()
        session.terminal.write("# add this to portico.toml to renew as before:")
        for each in with_settings:
            for line in _tables(f'sites."{each.name}".tls', each.settings):
                session.terminal.write(line)
    write_renewers(session, view.renewers)


def export_certificates(session: Session, folder: str) -> None:
    view = session.client().ask(certificate_verbs.EXPORT, folder=str(Path(folder).absolute()))
    if session.json:
        session.show_json(view)
        return
    for name, called in view.names.items():
        session.terminal.write(f"{name}: {view.folder}/live/{called}")
    session.terminal.write(
        f"`certbot --config-dir {view.folder} certificates` lists them. Portico keeps renewing "
        "them, but not these copies: export again, or set tls.files. certbot does not renew them "
        "until you remove autorenew = False from renewal/NAME.conf there"
    )


def _show(session: Session, view: ImportView) -> None:
    write = session.terminal.write
    for each in view.taken:
        write(f"{each.name}: imported for {', '.join(each.names)}; certbot no longer renews it")
        write(f"  next: {each.next}: {each.why}")
        write_notes(session, [f"{each.name}: {note}" for note in each.notes])
    for skipped in view.skipped:
        write(f"not imported, certbot keeps renewing it: {skipped}")
    if view.account:
        write(f"account: {view.account}")
    if not view.taken and not view.skipped:
        write("certbot has no certificates there")
    write_notes(session, view.notes)


def _tables(name: str, settings: Mapping[str, object]) -> Iterator[str]:
    """TOML, whose strings and lists of strings are those of JSON."""
    yield ""
    yield f"[{name}]"
    for key, value in settings.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _tables(f"{name}.{key}", value)
