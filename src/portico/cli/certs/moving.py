"""`portico certs import` and `export`: from certbot and back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from portico.cli.certs.showing import name_renewers
from portico.cli.documents import tell_notes
from portico.cli.session import Session
from portico.core.model import verbs
from portico.importers.certbot import DEFAULT

if TYPE_CHECKING:
    from portico.core.model.views import ImportView


def take_over(session: Session, folder: str | None) -> None:
    client = session.client(start=True)
    view = client.ask(verbs.IMPORT, folder=str(Path(folder or DEFAULT).absolute()))
    if session.json:
        session.show_json(view)
        return
    _show(session, view)
    if unsaid := [each for each in view.taken if each.settings]:
        session.terminal.say()
        session.terminal.say("# add this to portico.toml to renew as before:")
        for each in unsaid:
            for line in _tables(f'sites."{each.name}".tls', each.settings):
                session.terminal.say(line)
    name_renewers(session, view.renewers)


def hand_over(session: Session, folder: str) -> None:
    view = session.client().ask(verbs.EXPORT, folder=str(Path(folder).absolute()))
    if session.json:
        session.show_json(view)
        return
    for name, called in view.names.items():
        session.terminal.say(f"{name}: {view.folder}/live/{called}")
    session.terminal.say(
        f"`certbot --config-dir {view.folder} certificates` lists them. Portico keeps renewing "
        "them, and certbot does not until you remove autorenew = False from renewal/NAME.conf "
        "there"
    )


def _show(session: Session, view: ImportView) -> None:
    say = session.terminal.say
    for each in view.taken:
        say(f"{each.name}: imported for {', '.join(each.names)}; certbot no longer renews it")
        say(f"  next: {each.next}: {each.why}")
        tell_notes(session, [f"{each.name}: {note}" for note in each.notes])
    for skipped in view.skipped:
        say(f"not imported, certbot keeps renewing it: {skipped}")
    if view.account:
        say(f"account: {view.account}")
    if not view.taken and not view.skipped:
        say("certbot has no certificates there")
    tell_notes(session, view.notes)


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
