"""Every command, in one table. `commands/NAME.py` is imported only when it is asked for; a verb
that has a group is a command without a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from portico.core.model.verb import Verb
from portico.core.model.verbs import CHANGE_APPS, VERBS
from portico.errors import Refused


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    summary: str
    """One line, in the imperative."""
    words: tuple[str, ...] = ()
    """Other words for it; PM2's are among them."""
    group: str = ""
    verb: Verb[Any] | None = None
    """What it asks for, if that is all it does."""


_RUN, _INSPECT, _MORE = "run a file", "inspect", "more"
_GROUPS: Final = (_RUN, _INSPECT, CHANGE_APPS, _MORE)

_OWN_COMMANDS: Final = (
    Command("init", "Write the first portico.toml of a folder.", group=_RUN),
    Command("up", "Apply a file and wait until every site answers.", group=_RUN),
    Command("run", "Run in the foreground, for systemd and containers.", group=_RUN),
    Command(
        "down",
        "Stop a project; with the last one, or --all, also nginx and the daemon.",
        ("kill",),
        _RUN,
    ),
    Command("check", "Validate a file.", ("validate",), _RUN),
    Command("doctor", "Find what is wrong with a stack.", group=_RUN),
    Command("plan", "Show what `up` would do, step by step.", group=_RUN),
    Command("import", "Write a file from those of nginx, PM2 and others.", group=_RUN),
    Command("render", "Print the nginx configuration.", group=_RUN),
    Command("status", "Show what runs.", ("list", "ls", "l", "ps"), _INSPECT),
    Command("top", "Show what runs, live.", ("monit", "imonit", "dash"), _INSPECT),
    Command("open", "Print a link that opens the dashboard in a browser.", group=_INSPECT),
    Command("show", "Show one app in detail.", ("describe", "desc", "info"), _INSPECT),
    Command("logs", "Show or follow the output of apps.", ("log",), _INSPECT),
    Command("metrics", "Print metrics for Prometheus.", group=_INSPECT),
    Command("events", "Show what was done, why, and who asked for it.", group=_INSPECT),
    Command("history", "Show the revisions that were applied.", group=_INSPECT),
    Command("changes", "Show changes in progress and recently finished.", group=_INSPECT),
    Command("follow", "Follow a change until it has finished.", group=_INSPECT),
    Command(
        "certs",
        "Show, obtain, renew, import and export certificates.",
        ("certificates",),
        _MORE,
    ),
    Command("cache", "Remove stored answers of a site.", group=CHANGE_APPS),
    Command("start", "Start an app, or all; or run a program.", group=CHANGE_APPS),
    Command(
        "pause",
        "Serve the maintenance page of a site, or hold its requests.",
        group=CHANGE_APPS,
    ),
    Command("startup", "Start everything again at boot.", group=_MORE),
    Command("unstartup", "No longer start at boot.", group=_MORE),
    Command("upgrade", "Switch to the installed versions of porticod and nginx.", group=_MORE),
    Command("nginx", "Show, select or build the nginx program that serves.", group=_MORE),
    Command(
        "switch", "Take over the ports of another nginx, without a lost request.", group=_MORE
    ),
    Command("cluster", "Join several machines that serve the same file.", group=_MORE),
    Command("export", "Write files for nginx, systemd, PM2 or Kubernetes alone.", group=_MORE),
    Command("trust", "Make this machine trust the local certificates.", group=_MORE),
    Command("version", "Show the versions of portico and of the daemon.", group=_MORE),
    Command("completion", "Print or install completion for your shell.", group=_MORE),
)
_VERBS: Final = tuple(
    Command(verb.name, verb.summary, verb.aliases, verb.group, verb)
    for verb in VERBS
    if verb.group
)
COMMANDS: Final = tuple(
    sorted((*_OWN_COMMANDS, *_VERBS), key=lambda command: _GROUPS.index(command.group))
)
SHORTHANDS: Final = {"jlist": ("status", "--json"), "prettylist": ("status", "--json")}
"""Words of PM2 that are a command with an option here."""
_STORED_NOTE: Final = (
    "not needed: what was applied last is stored, and `portico startup` starts it at boot"
)
_ROTATION_NOTE: Final = "not needed: logs are rotated at the max_size of [apps.NAME.logs]"
_CODE: Final = (
    "not supported: bring the code to this machine with git or rsync; then `portico reload APP` "
    "replaces the instances without losing a request"
)
_SETTINGS: Final = "not supported: settings are in portico.toml"
_PAID_NOTE: Final = "not supported: it belongs to PM2's paid monitoring"
_UP_NOTE: Final = "run `portico up FILE`: it starts what is new and replaces what has changed"
PM2_HINTS: Final = {
    **dict.fromkeys(("save", "dump", "resurrect", "cleardump"), _STORED_NOTE),
    **dict.fromkeys(("flush", "reloadLogs", "logrotate"), _ROTATION_NOTE),
    **dict.fromkeys(("deploy", "pull", "forward", "backward", "deepUpdate"), _CODE),
    **dict.fromkeys(("set", "multiset", "get", "conf", "config", "unset"), _SETTINGS),
    **dict.fromkeys(("install", "module:install", "uninstall", "module:update"), _SETTINGS),
    **dict.fromkeys(("link", "unlink", "plus", "register", "login", "monitor"), _PAID_NOTE),
    **dict.fromkeys(("startOrReload", "startOrRestart", "startOrGracefulReload"), _UP_NOTE),
    **dict.fromkeys(
        ("dashboard", "sysmonit"),
        "run `portico open` for the dashboard in a browser, `portico top` for the terminal",
    ),
    **dict.fromkeys(("pid", "id", "env"), "run `portico status --json`, or `portico show APP`"),
    **dict.fromkeys(("update", "updatePM2"), "run `portico upgrade`"),
    **dict.fromkeys(
        ("serve", "expose"), 'write [sites."NAME"] folder = "…" in portico.toml, and `portico up`'
    ),
    "ping": "run `portico version`",
    "gracefulReload": "run `portico reload APP`",
    "sendSignal": "not supported: use kill(1) with a pid of `portico status --json`",
    "reset": "not supported: restarts are counted for the lifetime of an instance",
    "report": "run `portico status --json`",
}
"""What a command of PM2 is here, where no command has its name."""
_NEVER_SUGGESTED: Final = frozenset(
    ("down", "stop", "restart", "delete", "scale", "rollback", "pause", "unstartup")
)
"""A slip of the pen must not lead to what ends or loses something."""
COMPLETION_COMMAND: Final = "__complete"
"""Not for people: the scripts of `portico completion` ask with it."""
_COMMANDS_BY_WORD: Final = {word: each for each in COMMANDS for word in (each.name, *each.words)}


def find(word: str) -> tuple[Command, tuple[str, ...]]:
    """The command that a word means, and the options that it implies. Refused if it means none."""
    name, *options = SHORTHANDS.get(word, (word,))
    if name in _COMMANDS_BY_WORD:
        return _COMMANDS_BY_WORD[name], tuple(options)
    if hint := PM2_HINTS.get(word):
        raise Refused(f"portico {word}: {hint}")
    from difflib import get_close_matches  # noqa: PLC0415 - only a slip of the pen costs its time

    harmless = [each for each, it in _COMMANDS_BY_WORD.items() if it.name not in _NEVER_SUGGESTED]
    near = get_close_matches(word, harmless, 1)
    meant = f"; did you mean `portico {near[0]}`?" if near else "; `portico --help` lists them"
    raise Refused(f"unknown command {word}{meant}")
