"""Waiting for a change: its lines as they come, and a spinner where it can be written over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portico.cli.session import Session
from portico.cli.terminal import Stream
from portico.client.client import Client
from portico.client.wire import IDLE_INTERVAL
from portico.errors import Failed, PorticoError, Refused, Unreachable
from portico.system.printable import printable

if TYPE_CHECKING:
    from portico.core.model.views import ChangeView

_ERRORS: Final[tuple[type[PorticoError], ...]] = (Failed, Refused, Unreachable)
_MAX_LABEL_WIDTH: Final = 60  # characters of a label; a line that wraps cannot be written over
_ABOUT_THE_FILE: Final = ("note: ", "removing ", "waiting for ")
"""Lines that do not say what is waited for now, or say it with a time of their own."""
_CLEAR: Final = "\r\x1b[K"


def watch(
    session: Session, client: Client, change: ChangeView, *, quiet: bool = False
) -> ChangeView:
    """The change as it ended. Raises what it failed with.

    An interrupt leaves the change to go on and says how to come back to it.
    """
    written = 0
    spinner = Spinner(session.terminal.err, f"{change.kind} {change.subject}".strip())
    try:
        for now in client.follow(change.id, spinner.advance if not quiet else lambda: None):
            spinner.clear()
            for line in now.lines[written:] if not quiet else ():
                session.terminal.write_stderr(f"  {line}")
            written, change = len(now.lines), now
            spinner.show(now.lines[-1] if now.lines else "")
    except KeyboardInterrupt:
        spinner.clear()
        session.terminal.write_stderr(
            f"{change.kind} continues in the background; `portico follow {change.id}` shows it"
        )
        raise
    finally:
        spinner.clear()
    if change.state == "failed":
        raise _error(change)
    return change


def watch_and_report(session: Session, client: Client, change: ChangeView) -> None:
    """For commands that have nothing to add."""
    ended = watch(session, client, change)
    if session.json:
        session.show_json(ended)
    else:
        done = session.terminal.out.paint("done", "green")
        session.terminal.write(f"{done}: {ended.kind} {ended.subject}".rstrip(" :"))


class Spinner:
    """Shows that time passes, and what is waited for; nothing at all where a line cannot be
    written over.
    """

    def __init__(self, stream: Stream, label: str) -> None:
        self._stream, self._ticks = stream, 0
        self._label = printable(label)

    def show(self, line: str) -> None:
        """Show the last line of the change, if it says what is waited for."""
        if line and not line.startswith(_ABOUT_THE_FILE):
            self._label = printable(line)

    def advance(self) -> None:
        if self._stream.live:
            self._ticks += 1
            mark, seconds = "|/-\\"[self._ticks % 4], int(self._ticks * IDLE_INTERVAL)
            self._stream.write(f"{_CLEAR}{mark} {self._label[:_MAX_LABEL_WIDTH]} {seconds}s")

    def clear(self) -> None:
        if self._ticks:
            self._stream.write(_CLEAR)


def _error(change: ChangeView) -> PorticoError:
    text = change.error or f"{change.kind} failed"
    kind = next((each for each in _ERRORS if each.exit_code == change.exit_code), Failed)
    return kind(text)
