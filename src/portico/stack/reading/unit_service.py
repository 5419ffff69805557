"""The section [Service] of a unit as a table of an app, and what of it has no equivalent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from portico.core.model.units import parse_duration, parse_size
from portico.stack.model import NO_EQUIVALENT, Gap, Place, Setting, UnitFile
from portico.stack.reading.listening import command_text, listen_command
from portico.stack.reading.text_files import quote_line
from portico.stack.reading.unit_file import filled_in
from portico.stack.reading.unit_words import unit_words

IDLE_KEYS: Final[Mapping[str, str | None]] = {
    "Description": None,
    "Documentation": None,
    "WantedBy": None,
    "RequiredBy": None,
    "RemainAfterExit": None,
    "SyslogIdentifier": None,
    "StartLimitIntervalSec": None,
    "StartLimitInterval": None,
    "KillMode": "mixed|control-group|process",
    "StandardOutput": "journal|inherit|syslog|journal[+]console",
    "StandardError": "journal|inherit|syslog|journal[+]console",
    "After": r"([\w@-]+\.target\s*)+",
    "Wants": r"([\w@-]+\.target\s*)+",
    "Requires": r"([\w@-]+\.target\s*)+",
    "SendSIGKILL": "yes|true|on|1",
    "Sockets": r".*\.socket",
}
"""Keys that say nothing to Portico, or not with these values: it has the same by itself."""
_REASONS: Final[Mapping[str, str]] = {
    "ExecReload": "it is not run: `portico reload` replaces the instances",
    "ExecStop": "it is not run: an instance is stopped by its stop_signal",
    "ExecStopPost": "it is not run",
    "ExecStartPost": "it is not run",
    "ExecCondition": "it is not run",
    "PIDFile": "it is not needed: Portico knows the process that it started",
    "LimitNOFILE": "an instance has the limit of porticod; set it in the unit of porticod",
    "After": "Portico does not wait for other units; `after` is for apps",
    "Wants": "Portico does not start other units; `after` is for apps",
    "Requires": "Portico does not start other units; `after` is for apps",
    "BindsTo": "Portico does not start other units; `after` is for apps",
    "RuntimeDirectory": "create the folder yourself: Portico creates none for an app",
    "StateDirectory": "create the folder yourself: Portico creates none for an app",
    "LogsDirectory": "create the folder yourself: Portico creates none for an app",
    "CacheDirectory": "create the folder yourself: Portico creates none for an app",
    "DynamicUser": "set user to a user that exists",
    "MemoryHigh": "max_memory replaces an instance that uses more",
    "WatchdogSec": "set health, a check that Portico does itself",
    "UMask": "an app has the umask of porticod",
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_UNITS: Final = {
    "ms": 0.001, "msec": 0.001, "us": 1e-6, "s": 1, "sec": 1, "second": 1, "seconds": 1, "": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hour": 3600,
    "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_BEGINNING: Final = re.compile(r"[@:+!|-]*")


class ServiceTable:
    """Reads all settings of a unit; `name` is that of an instance where it is a template."""

    def __init__(self, unit: UnitFile, name: str) -> None:
        self.name = name
        self._unit = unit
        self.table: dict[str, object] = {}
        self.gaps: list[Gap] = []
        self.command = ""
        self.before: list[str] = []
        """Commands of ExecStartPre."""
        self.place = Place(unit.path)
        self.env: dict[str, object] = {}
        self.env_files: list[str] = []
        self.words: list[str] = []
        for setting in unit.settings:
            self._read(setting)
        self._oneshot = unit.last("Service", "Type") == "oneshot"
        self._listen()
        self._restarts()

    def _read(self, setting: Setting) -> None:
        if setting.section not in {"Unit", "Service", "Install"}:
            self._gap(setting, NO_EQUIVALENT)
            return
        idle = IDLE_KEYS.get(setting.key, "")
        if idle is None or (idle and re.fullmatch(idle, setting.value)):
            return
        read = _READERS.get(setting.key)
        if read is None:
            self._gap(setting, _REASONS.get(setting.key, NO_EQUIVALENT))
            return
        try:
            read(self, setting)
        except ValueError as error:
            self._gap(setting, str(error))

    def _gap(self, setting: Setting, why: str) -> None:
        self.gaps.append(Gap(setting.place, quote_line(str(setting)), why))

    def text(self, setting: Setting) -> str:
        text = filled_in(setting.value, self.name)
        if found := re.search(r"%[A-Za-z]", text):
            raise ValueError(f"what {found[0]} stands for is not known here; write it out")
        return text

    def _listen(self) -> None:
        found = listen_command(self.words, self.env)
        if self.words:
            self.command = command_text(found.words)
        self.ports, self.sockets = found.ports, found.sockets
        own: dict[str, object] = {"env": dict(found.env)} if found.env else {}
        if self.env_files:
            several = len(self.env_files) > 1
            own["env_file"] = self.env_files if several else self.env_files[0]
        listens = {"port": False} if self._oneshot and not found.ports else found.table
        self.table = {"command": self.command, "cwd": "/", **self.table, **own, **listens}
        if listens == {"port": False} and not self._oneshot and self.words:
            why = "nothing here says on which port it listens; if it does, set port or find_port"
            self.gaps.append(Gap(self.place, "ExecStart", why))

    def _restarts(self) -> None:
        """Without Restart= a program that exits is left stopped."""
        if self._unit.last("Service", "Restart") in {"", "no"}:
            self.table["autorestart"] = False


def _exec_start(service: ServiceTable, setting: Setting) -> None:
    service.place = setting.place
    if service.words:
        raise ValueError("an app runs one command; write a script that runs them all")
    service.words = _program(service, setting)


def _exec_start_pre(service: ServiceTable, setting: Setting) -> None:
    if setting.value.startswith("-"):
        raise ValueError("it is not run: its failure would not be ignored")
    service.before.append(command_text(_program(service, setting)))


def _program(service: ServiceTable, setting: Setting) -> list[str]:
    """Words, with `$NAME` for variables."""
    beginning = _BEGINNING.match(setting.value)
    prefix = beginning[0] if beginning else ""
    words = unit_words(setting.value[len(prefix) :])
    if "+" in prefix or "!" in prefix:
        raise ValueError("it is not run: it would need more rights than the app has")
    if "@" in prefix:
        del words[1:2]
    filled = [filled_in(word, service.name) for word in words]
    if any(re.search(r"%[A-Za-z]\b", word) for word in filled):
        raise ValueError("it has a specifier that is not known here; write it out")
    if not filled:
        raise ValueError("it names no program")
    return [word.replace("$$", "$") for word in filled]


def _environment(service: ServiceTable, setting: Setting) -> None:
    for word in unit_words(service.text(setting)):
        name, equals, value = word.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"{name} is not a variable with a value")
        service.env[name] = value


def _environment_file(service: ServiceTable, setting: Setting) -> None:
    path = service.text(setting).removeprefix("-").strip('"')
    if setting.value.startswith("-") and not Path(path).is_file():
        raise ValueError("this file does not exist here, and a file of env_file has to")
    service.env_files.append(path)


def _working_directory(service: ServiceTable, setting: Setting) -> None:
    path = service.text(setting).removeprefix("-").strip('"')
    if not path.startswith("/"):
        raise ValueError("set cwd to the path of the folder")
    service.table["cwd"] = path


def _type(service: ServiceTable, setting: Setting) -> None:
    match setting.value:
        case "notify" | "notify-reload":
            service.table["wait_ready"] = True
        case "simple" | "exec" | "idle" | "oneshot":
            pass
        case _:
            raise ValueError("an app runs in the foreground; set the option for that")


def _restart(service: ServiceTable, setting: Setting) -> None:
    match setting.value:
        case "always" | "no":
            pass
        case "on-failure":
            service.table["stop_exit_codes"] = [0]
        case _:
            raise ValueError("an app is restarted whenever it exits; see stop_exit_codes")


def _restart_delay(service: ServiceTable, setting: Setting) -> None:
    seconds = max(_seconds(setting.value), 0.01)
    service.table |= {"backoff": seconds, "backoff_limit": seconds}


def _stop_codes(service: ServiceTable, setting: Setting) -> None:
    codes = [int(word) for word in setting.value.split()]
    service.table["stop_exit_codes"] = codes


def _burst(service: ServiceTable, setting: Setting) -> None:
    service.table["max_restarts"] = int(setting.value)


def _memory(service: ServiceTable, setting: Setting) -> None:
    if setting.value != "infinity":
        service.table["max_memory"] = parse_size(setting.value)


def _signal(service: ServiceTable, setting: Setting) -> None:
    service.table["stop_signal"] = "SIG" + setting.value.removeprefix("SIG")


def _logs(service: ServiceTable, setting: Setting) -> None:
    kind, _, path = service.text(setting).partition(":")
    if kind not in {"file", "append", "truncate"}:
        raise ValueError("output is in `portico logs`")
    logs = service.table.setdefault("logs", {})
    if isinstance(logs, dict):
        logs["stdout" if setting.key == "StandardOutput" else "stderr"] = path


def _seconds(text: str) -> float:
    """`90`, `1min 30s`. ValueError."""
    parts = _TIME.findall(text)
    if not parts or _TIME.sub("", text).strip() or any(unit not in _UNITS for _, unit in parts):
        raise ValueError("it is not a length of time that Portico has")
    return parse_duration(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _duration(key: str) -> Callable[[ServiceTable, Setting], None]:
    def read(service: ServiceTable, setting: Setting) -> None:
        service.table[key] = _seconds(setting.value)

    return read


def _plain(key: str) -> Callable[[ServiceTable, Setting], None]:
    def read(service: ServiceTable, setting: Setting) -> None:
        service.table[key] = service.text(setting)

    return read


def _both_times(service: ServiceTable, setting: Setting) -> None:
    seconds = _seconds(setting.value)
    service.table |= {"ready_timeout": max(seconds, 0.1), "stop_timeout": seconds}


_READERS: Final[Mapping[str, Callable[[ServiceTable, Setting], None]]] = {
    "ExecStart": _exec_start,
    "ExecStartPre": _exec_start_pre,
    "Environment": _environment,
    "EnvironmentFile": _environment_file,
    "WorkingDirectory": _working_directory,
    "User": _plain("user"),
    "Group": _plain("group"),
    "Type": _type,
    "Restart": _restart,
    "RestartSec": _restart_delay,
    "RestartPreventExitStatus": _stop_codes,
    "StartLimitBurst": _burst,
    "MemoryMax": _memory,
    "MemoryLimit": _memory,
    "KillSignal": _signal,
    "TimeoutStopSec": _duration("stop_timeout"),
    "TimeoutStartSec": _duration("ready_timeout"),
    "TimeoutSec": _both_times,
    "RuntimeMaxSec": _duration("max_age"),
    "StandardOutput": _logs,
    "StandardError": _logs,
}
