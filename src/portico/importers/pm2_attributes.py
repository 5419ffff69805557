"""Every attribute of a PM2 file and what becomes of it, in one table.

`MappedAttribute` becomes a key of `[apps.NAME]`; of a `PartialAttribute` pm2_app.py makes one,
together with others; `MissingAttribute` is reported by name with the reason. The names are those
of PM2 7.0 (lib/API/schema.json and what its code reads beside it).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portico.core.model.cron import FIELDS as CRON_FIELDS
from portico.core.model.cron import parse_cron
from portico.core.model.units import LAST_PORT, parse_size

LISTEN_TIMEOUT: Final = 3.0  # seconds; PM2's default
_OFF_VALUES: Final[Sequence[object]] = (None, False, "", 0, "0", [], {})
_TIMES: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 0.001}
_MOMENTS_AS_TEXT = (
    "YYYY=%Y YY=%y MMMM=%B MMM=%b MM=%m M=%-m DDDD=%j DDD=%-j DD=%d Do=%-d D=%-d dddd=%A ddd=%a "
    "dd=%a HH=%H H=%-H hh=%I h=%-I A=%p a=%P mm=%M m=%-M ss=%S s=%-S SSS=%L SS=%L S=%L ZZ=%z "
    "Z=%:z X=%s x=%s%L"
)
_MOMENTS: Final = dict(pair.split("=") for pair in _MOMENTS_AS_TEXT.split())
"""Parts of moment.js's formats, as parts of those of strftime(3)."""
_MOMENT = re.compile("|".join([r"\[[^\]]*\]", *sorted(_MOMENTS, key=len, reverse=True), "."]))
_ARGUMENT = re.compile(r'[\w-]+="[^"]*"|[\w-]+=\'[^\']*\'|"([^"]*)"|\'([^\']*)\'|(\S+)')


@dataclass(frozen=True, slots=True)
class MappedAttribute:
    """A value of PM2 that is a value of ours."""

    words: tuple[str, ...]
    """PM2's main word first, then its other words for the same."""
    key: str
    value: Callable[[object], object]
    """ValueError says what it must be."""
    how: str = ""
    idle: Sequence[object] = (None, "")
    """Values that are as good as none."""


@dataclass(frozen=True, slots=True)
class PartialAttribute:
    """Makes sense only together with others."""

    words: tuple[str, ...]
    value: Callable[[object], object]
    how: str
    idle: Sequence[object] = (None, "")


@dataclass(frozen=True, slots=True)
class MissingAttribute:
    words: tuple[str, ...]
    why: str
    idle: Sequence[object] = _OFF_VALUES
    """Values that ask for nothing, so that nothing is missing."""


Attribute = MappedAttribute | PartialAttribute | MissingAttribute


def seconds(value: object) -> float:
    """PM2's times: a number of milliseconds, or text such as `1h`, `10m`, `5s`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hms]?)", str(value).strip())
    if isinstance(value, bool) or not found:
        raise ValueError(f'must be a number of milliseconds or text like "10s", not {value!r}')
    return round(float(found[1]) * _TIMES[found[2]], 3)


def whole_number(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\s*-?\d+\s*", str(value)):
        raise ValueError(f"must be a whole number, not {value!r}")
    return int(str(value))


def port(value: object) -> int:
    if not 0 < whole_number(value) <= LAST_PORT:
        raise ValueError(f"must be a port, 1 to {LAST_PORT}, not {value!r}")
    return whole_number(value)


def how_many(value: object) -> int:
    """0 is one a core, -1 one less, as PM2 counts."""
    if isinstance(value, float):  # half of the cores, say
        return max(1, int(value))
    return 0 if value == "max" else whole_number(value)


def flag(value: object) -> bool:
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise ValueError(f"must be true or false, not {value!r}")
    return known[str(value).lower()]


def text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise ValueError(f"must be text, not {value!r}")
    return str(value)


def words(value: object) -> list[str]:
    """A list, or text that PM2 splits at blanks outside quotes; nothing else is replaced."""
    if isinstance(value, list):
        return [str(each) for each in value]
    if not isinstance(value, str):
        raise ValueError(f"must be text or a list, not {value!r}")
    found = _ARGUMENT.finditer(value)
    return [next((part for part in each.groups() if part is not None), each[0]) for each in found]


def watch_value(value: object) -> bool | list[str]:
    if value in _OFF_VALUES:
        return False
    return flag(value) if str(value).lower() in {"true", "false"} else texts(value)


def texts(value: object) -> list[str]:
    return [text(each) for each in (value if isinstance(value, list) else [value])]


def codes(value: object) -> list[int]:
    return [whole_number(each) for each in (value if isinstance(value, list) else [value])]


def cron(value: object) -> str | None:
    """PM2's own library also takes a field for seconds, before the others, and `?` for any."""
    if value in _OFF_VALUES:
        return None
    fields = text(value).replace("?", "*").split()
    return parse_cron(" ".join(fields[1:] if len(fields) == CRON_FIELDS + 1 else fields))


def variables(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be an object of variables, not {value!r}")
    return value


def _log(value: object) -> str:
    return "" if isinstance(value, bool) else text(value)


def _filter(value: object) -> object:
    return value


def date_format(value: object) -> str:
    """A format of moment.js as one of strftime(3); `[text]` is text."""
    parts = _MOMENT.findall(text(value))
    return "".join(_MOMENTS.get(part, part.strip("[]").replace("%", "%%")) for part in parts)


def _delay(value: object) -> float:
    return max(0.01, found) if (found := seconds(value)) else 0.0  # App.backoff has no less


def _ready_within(value: object) -> float:
    return max(0.1, seconds(value))  # App.ready_timeout has no less


ATTRIBUTES: Final[tuple[Attribute, ...]] = (
    # what runs
    PartialAttribute(
        ("script", "exec", "cmd", "command"),
        text,
        "script; if it contains a blank, command = bash -c. `serve` with PM2_SERVE_* serves a "
        "folder; with --site, nginx does",
    ),
    PartialAttribute(
        ("name",),
        text,
        "the app's name, in lower case and without blanks; commands also take it as it is written",
    ),
    PartialAttribute(("name_prefix",), text, "prefix of the name"),
    PartialAttribute(("append_env_to_name",), flag, "the name of --env is appended to the name"),
    PartialAttribute(("cwd",), text, "cwd"),
    MappedAttribute(
        ("args",),
        "args",
        words,
        "a port in them that a cluster shares becomes the port of each instance",
    ),
    PartialAttribute(
        ("exec_interpreter", "interpreter"), text, "interpreter; a version after @ is ignored"
    ),
    MappedAttribute(
        ("node_args", "interpreterArgs", "interpreter_args"), "interpreter_args", words
    ),
    PartialAttribute(("env",), variables, "env, over the environment of your shell (inherit_env)"),
    PartialAttribute(("env_file",), texts, "env_file, if it exists; paths start in cwd"),
    PartialAttribute(("filter_env",), _filter, "true: inherit_env = false"),
    MappedAttribute(("uid", "user"), "user", text),
    MappedAttribute(("gid",), "group", text),
    # how many, and where they listen
    PartialAttribute(("instances",), how_many, "instances; each gets its own port"),
    PartialAttribute(
        ("exec_mode",),
        text,
        "each instance is a process with its own port; several in fork mode without a port are "
        "workers",
    ),
    PartialAttribute(("port",), port, "port, with port_env = PORT"),
    PartialAttribute(("increment_var",), text, "port, incremented for each instance"),
    MappedAttribute(("instance_var",), "instance_env", text),
    # how they live
    MappedAttribute(("autostart",), "autostart", flag),
    MappedAttribute(("autorestart",), "autorestart", flag),
    MappedAttribute(("stop_exit_codes",), "stop_exit_codes", codes),
    MappedAttribute(("min_uptime",), "min_uptime", seconds),
    MappedAttribute(("max_restarts",), "max_restarts", whole_number),
    PartialAttribute(
        ("restart_delay",), _delay, "backoff and backoff_limit: always the same delay"
    ),
    PartialAttribute(("exp_backoff_restart_delay",), _delay, "backoff, up to 15 s"),
    MappedAttribute(
        ("listen_timeout",),
        "ready_timeout",
        _ready_within,
        "what is not ready then continues (after_ready_timeout), and gets requests of a site when "
        "it answers. Default: 30 s; PM2: 3 s",
    ),
    MappedAttribute(("kill_timeout",), "stop_timeout", seconds, "default: 10 s; PM2: 1.6 s"),
    MappedAttribute(
        ("max_memory_restart",),
        "max_memory",
        parse_size,
        "a rollout of that instance; checked every 5 s; PM2: every 30 s",
        _OFF_VALUES,
    ),
    PartialAttribute(
        ("watch",),
        watch_value,
        "watch: a change starts a rollout. For a pattern, its base folder is watched; symbolic "
        "links in it are not followed",
    ),
    PartialAttribute(
        ("ignore_watch",),
        texts,
        "ignore_watch, in addition to node_modules, logs and the like, and hidden files if it "
        "is not set. Regular expressions are ignored with a note",
    ),
    PartialAttribute(
        ("watch_delay",), seconds, "watch_delay, counted from the last change; PM2: from the first"
    ),
    PartialAttribute(
        ("watch_options",),
        variables,
        "ignored: ignore_watch; other options are ignored, with a note if they matter",
    ),
    PartialAttribute(
        ("cron_restart", "cron"),
        cron,
        "restart_schedule, a rollout, also of what stop_exit_codes has ended; with autorestart "
        "false, of an app without a port: "
        "schedule; of six fields, the first (seconds) is ignored",
    ),
    MappedAttribute(
        ("wait_ready",),
        "wait_ready",
        flag,
        "process.send('ready'); its port, or its `health` path, has to answer too. Without it the "
        "instance counts as ready after listen_timeout",
        _OFF_VALUES,
    ),
    MissingAttribute(
        ("shutdown_with_message",),
        "not supported: programs get no messages; handle the signal SIGINT",
    ),
    MissingAttribute(
        ("kill_retry_time",), "not supported: one signal, and SIGKILL after kill_timeout"
    ),
    MissingAttribute(
        ("treekill",),
        "not supported when false: a stop always reaches the whole process group",
        (None, True),
    ),
    # output
    PartialAttribute(("out_file", "out", "output", "out_log"), _log, "logs.stdout"),
    PartialAttribute(("error_file", "error", "err", "err_file", "err_log"), _log, "logs.stderr"),
    PartialAttribute(
        ("log_file", "log"),
        _log,
        "logs.stdout and logs.stderr, if those are not set; not written as a third file: `portico "
        "logs APP` merges both streams of all instances by time",
    ),
    MissingAttribute(("disable_logs",), "not supported: output is kept, and its size is capped"),
    MissingAttribute(("log_type",), "not supported: lines are kept as the app writes them"),
    PartialAttribute(("log_date_format",), date_format, "logs.timestamp", _OFF_VALUES),
    PartialAttribute(
        ("time",), flag, "logs.timestamp, if log_date_format is not set", (*_OFF_VALUES, "false")
    ),
    MissingAttribute(
        ("merge_logs", "combine_logs"),
        "not needed: `portico logs APP` shows all instances of an app together",
    ),
    MissingAttribute(("pid_file", "pid"), "not supported: pids are in `portico status --json`"),
    # PM2's own
    MissingAttribute(
        ("namespace",),
        "not supported: commands accept the name of an app, or act on all",
        (*_OFF_VALUES, "default"),
    ),
    MissingAttribute(("install_url",), "not supported: Portico installs no apps"),
    MissingAttribute(("force",), "not needed: two apps may run the same script"),
    MissingAttribute(
        ("execute_command",), "not needed: anything that is not a script is run as a command"
    ),
    MissingAttribute(("post_update",), "not supported: Portico pulls no source code"),
    MissingAttribute(("vizion",), "not supported: Portico does not use version control"),
    MissingAttribute(
        ("source_map_support",),
        "not supported: set node_args to --enable-source-maps",
    ),
    MissingAttribute(
        ("disable_source_map_support",), "not needed: source maps are off", (*_OFF_VALUES, True)
    ),
    MissingAttribute(("username",), "not needed: to run as another user, set user"),
    MissingAttribute(("windowsHide",), "only for Windows", (*_OFF_VALUES, True)),
    *(
        MissingAttribute((name,), "not supported: it belongs to PM2's paid monitoring")
        for name in ("pmx", "automation", "trace", "v8", "event_loop_inspector", "deep_monitoring")
    ),
    MissingAttribute(("disable_trace",), "not needed: there is no tracing", (*_OFF_VALUES, True)),
    MissingAttribute(("io",), "not supported: it belongs to PM2's paid monitoring"),
    MissingAttribute(("write",), "not supported: Portico writes nothing into your folder"),
)
TOP_LEVEL: Final[Mapping[str, str]] = {
    "deploy": "not supported: Portico does not deploy to other machines",
    "static": "each entry is an app that serves a folder, as script serve",
}


def _camel_case(word: str) -> str:
    first, *rest = word.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


ATTRIBUTES_BY_WORD: Final[Mapping[str, Attribute]] = {
    word: attribute
    for attribute in ATTRIBUTES
    for word in (*attribute.words, _camel_case(attribute.words[0]))
}
"""PM2 also takes its main words in camelCase."""
