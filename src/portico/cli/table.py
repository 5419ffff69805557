"""Every command, in one table. `commands/NAME.py` is imported only when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portico.errors import Refused


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    says: str
    """One line, in the imperative."""
    words: tuple[str, ...] = ()
    """Other words for it; PM2's are among them."""
    group: str = ""


_RUN, _LOOK, _APPS, _MORE = "run a file", "look", "change what runs", "more"

COMMANDS: Final = (
    Command("up", "Apply a file, and wait until every site answers.", group=_RUN),
    Command("run", "Run in the foreground, for systemd and containers.", group=_RUN),
    Command("down", "Stop everything, nginx and the daemon too.", ("kill",), _RUN),
    Command("check", "Say whether a file could be used.", ("validate",), _RUN),
    Command("plan", "Say what `up` would do, step by step.", group=_RUN),
    Command("render", "Print the nginx configuration.", group=_RUN),
    Command("status", "Show what runs.", ("list", "ls", "l", "ps"), _LOOK),
    Command("show", "Show one app in detail.", ("describe", "desc", "info"), _LOOK),
    Command("logs", "Show the output of apps, and follow it.", ("log",), _LOOK),
    Command("metrics", "Print what Prometheus reads.", group=_LOOK),
    Command("history", "Show the files that were applied.", group=_LOOK),
    Command("changes", "Show the changes in progress and lately ended.", group=_LOOK),
    Command("follow", "Wait for a change and show its progress.", group=_LOOK),
    Command("start", "Start an app, or all.", group=_APPS),
    Command("stop", "Stop an app, or all; they stay known.", group=_APPS),
    Command("restart", "Stop and start an app, or all.", group=_APPS),
    Command("reload", "Replace instances one by one, losing no request.", group=_APPS),
    Command("scale", "Run so many instances of an app.", group=_APPS),
    Command("delete", "Stop an app and forget it.", ("del",), _APPS),
    Command("pause", "Answer for a site with its maintenance page.", group=_APPS),
    Command("resume", "Open a paused site again.", group=_APPS),
    Command("rollback", "Apply an earlier revision again.", group=_APPS),
    Command(
        "certs",
        "Show, obtain, renew and move the certificates of authorities.",
        ("certificates",),
        _MORE,
    ),
    Command("startup", "Bring everything back after a boot.", group=_MORE),
    Command("unstartup", "Leave boots alone again.", group=_MORE),
    Command("upgrade", "Let newer programs of Portico and nginx take over.", group=_MORE),
    Command("trust", "Make this machine trust the local certificates.", group=_MORE),
    Command("version", "Show the versions of portico and of the daemon.", group=_MORE),
    Command("completion", "Print or install completion for your shell.", group=_MORE),
)
SHORTHANDS: Final = {"jlist": ("status", "--json"), "prettylist": ("status", "--json")}
"""Words of PM2 that are a command with an option here."""
COMPLETE: Final = "__complete"
"""Not for people: the scripts of `portico completion` ask with it."""
_BY_WORD: Final = {word: each for each in COMMANDS for word in (each.name, *each.words)}


def find(word: str) -> tuple[Command, tuple[str, ...]]:
    """The command that a word means, and the options that it implies. Refused if it means none."""
    name, *given = SHORTHANDS.get(word, (word,))
    if name in _BY_WORD:
        return _BY_WORD[name], tuple(given)
    from difflib import get_close_matches  # noqa: PLC0415 - only a slip of the pen costs its time

    near = get_close_matches(word, _BY_WORD, 1)
    meant = f"; did you mean `portico {near[0]}`?" if near else "; `portico --help` lists them"
    raise Refused(f"there is no command {word}{meant}")
