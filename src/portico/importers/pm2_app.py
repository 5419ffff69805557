"""One app of a PM2 file: what several attributes say together."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Final

from portico.importers import pm2_attributes as pm2
from portico.importers import pm2_serve
from portico.importers.import_report import ImportReport
from portico.importers.pm2_context import Kind, Pm2Context, Table, Values
from portico.importers.pm2_ports import port_of, with_variable
from portico.importers.pm2_watch import watch_settings

_ENDINGS: Final = frozenset(
    (".js", ".cjs", ".mjs", ".ts", ".tsx", ".py", ".sh", ".rb", ".php", ".pl")
)
_CONTINUOUS_KEYS: Final = {"max_memory": "max_memory_restart", "wait_ready": "wait_ready"}
_PROGRAM_FOLDERS: Final = ("node_modules/.bin", ".venv/bin", "venv/bin")
_OWN_INTERPRETERS: Final = {".coffee": "coffee", ".ls": "lsc"}
_STREAM = re.compile(r"/dev/(stdout|stderr|fd/\d+|tty)|/proc/(self|\d+)/fd/\d+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIMIT = 15.0  # seconds, where PM2's exponential delay ends too


def app_table(
    values: Values, deployed: Values, context: Pm2Context, report: ImportReport
) -> Table:
    """The table `[apps.NAME]`; `deployed` are variables for `--env` from the file's `deploy`."""
    variables = _variables(values, deployed, context, report)
    is_folder = pm2_serve.is_served(values, variables, context)
    if is_folder:
        variables = pm2_serve.with_options(values, variables)
    names = (pm2_serve.PORT,) if is_folder else ("PORT", "port")
    port = _port(values, variables, names, report)
    port |= _port_in_args(values, port)
    table = {
        **_mapped_keys(values),
        **_env_files(values, context, report),
        **(_program(values, context, report) if not is_folder else _folder(values, context)),
        **_restarts(values),
        **_times(values, port, report),
        **_ready_timeout(values, context, report),
        **watch_settings(values, report),
        **_logs(values, context, report),
        **(_instances(values, context) if not is_folder else {"instances": 1}),
        **port,
        **({"env": variables} if variables else {}),
        "inherit_env": _inherits(values, report),
        "stdin": "open",  # PM2's pipe; a development server exits when its input ends
        "stop_signal": "SIGINT",  # PM2's; a program that only knows SIGTERM dies of either
    }
    return _without_continuous_keys(table, report) if "schedule" in table else table


def _without_continuous_keys(table: Table, report: ImportReport) -> Table:
    """Without what is for programs that stay."""
    for key in table.keys() & _CONTINUOUS_KEYS.keys():
        report.note(f"{_CONTINUOUS_KEYS[key]} is not needed: each run exits by itself")
    return {key: value for key, value in table.items() if key not in _CONTINUOUS_KEYS}


def _mapped_keys(values: Values) -> Table:
    found = ((pm2.ATTRIBUTES_BY_WORD.get(word), value) for word, value in values.items())
    return {
        attribute.key: value
        for attribute, value in found
        if isinstance(attribute, pm2.MappedAttribute)
    }


def _program(values: Values, context: Pm2Context, report: ImportReport) -> Table:
    cwd = _cwd(values, context)
    script = _path(str(values.get("script", "")), context)
    if not script:
        report.problem("script", "is missing: the file to run")
    kind = context.look(posixpath.join(cwd, script))
    table: Table = {"cwd": cwd} if cwd else {}
    if " " in script and kind == "missing":  # as PM2 runs it
        return table | {"command": ["bash", "-c", script], "args": [], "interpreter_args": []}
    interpreter = _interpreter(values, script, kind, context, report)
    if kind == "missing" and "/" not in script:
        return table | _program_in_path(values, script, interpreter, context)
    ending = posixpath.splitext(script)[1].lower()
    runs_itself = kind == "program" and not interpreter and ending not in _ENDINGS
    if runs_itself or interpreter == {"interpreter": "none"}:
        table["interpreter_args"] = []  # which nothing would read
    return table | {"script": script} | interpreter


def _folder(values: Values, context: Pm2Context) -> Table:
    cwd = _cwd(values, context)
    return {**({"cwd": cwd} if cwd else {}), **pm2_serve.program(context)}


def _program_in_path(
    values: Values, script: str, interpreter: Table, context: Pm2Context
) -> Table:
    """A program such as `npm`, which Node or another interpreter is to run with arguments."""
    runs_itself = values.get("exec_interpreter") == "none"
    if runs_itself or not (interpreter or values.get("node_args")):
        itself = {"interpreter": "none", "interpreter_args": []} if runs_itself else {}
        return {"script": script, **itself}
    places = (f"{folder}/{script}" for folder in _PROGRAM_FOLDERS)
    cwd = _cwd(values, context)
    installed = (path for path in places if context.look(posixpath.join(cwd, path)) != "missing")
    found = context.which(script) or next(installed, script)
    return {"script": found, "interpreter": "node"} | interpreter


def _ready_timeout(values: Values, context: Pm2Context, report: ImportReport) -> Table:
    """How long it is waited for, and that it continues then."""
    table: Table = {"after_ready_timeout": "continue"}
    if not values.get("wait_ready") or _may_notify(values, context):
        return table
    limit = float(str(values.get("listen_timeout", pm2.LISTEN_TIMEOUT)))
    report.note(
        "wait_ready is set, but the script has no process.send('ready'); it counts as ready "
        f"after {limit:g}s (listen_timeout)"
    )
    return table | {"ready_timeout": limit}


def _may_notify(values: Values, context: Pm2Context) -> bool:
    path = posixpath.join(_cwd(values, context), _path(str(values.get("script", "")), context))
    return context.look(path) != "text" or context.sends(path)


def _env_files(values: Values, context: Pm2Context, report: ImportReport) -> Table:
    """Those that exist: PM2 starts without the others, too."""
    cwd, found = _cwd(values, context), list[str]()
    for file in _texts(values.get("env_file")):
        path = posixpath.join(cwd, _path(file, context))
        if context.look(path) in {"missing", "folder"}:
            report.note(f"env_file {file} does not exist and is ignored")
        else:
            found.append(path)
    return {"env_file": found} if found else {}


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _cwd(values: Values, context: Pm2Context) -> str:
    named = _path(str(values.get("cwd", "")), context)
    return posixpath.join(context.base, named) if named else context.base


def _interpreter(
    values: Values, script: str, kind: Kind, context: Pm2Context, report: ImportReport
) -> Table:
    ending = posixpath.splitext(script)[1].lower()
    named = _path(str(values.get("exec_interpreter", "")), context)
    name, _, version = named.partition("@")
    if version:
        report.note(f"interpreter {name}@{version} is not chosen; the {name} in PATH is used")
    name = name or _OWN_INTERPRETERS.get(ending, "")
    if not name and (kind == "folder" or (ending not in _ENDINGS and kind == "text")):
        name = "node"  # so PM2 does: Express's bin/www has no ending
    return {"interpreter": name} if name else {}


def _variables(
    values: Values, deployed: Values, context: Pm2Context, report: ImportReport
) -> Table:
    """`env`, with `env_NAME` over it."""
    merged = {**deployed, **_object(values.get("env"))}
    if context.environment is not None:
        named = f"env_{context.environment}"
        if named not in values:
            report.note(f"{named} does not exist; only env is used")
        merged |= _object(values.get(named))
    for name in merged:
        if not _VARIABLE.fullmatch(name):
            report.note(f"env: {name!r} is not a valid variable name and is ignored")
    return {name: _variable(value) for name, value in merged.items() if _VARIABLE.fullmatch(name)}


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _variable(value: object) -> object:
    """PM2 writes everything deeper than a value as JSON, and null as text."""
    scalar = isinstance(value, (str, int, float))
    return value if scalar else json.dumps(value, ensure_ascii=False)


def _port(values: Values, variables: Table, names: tuple[str, ...], report: ImportReport) -> Table:
    """The pinned port, named after the variable that carries it and taken out of them."""
    counted = values.get("increment_var")
    if counted is not None and str(counted).lower() != "port":
        report.note(f"increment_var {counted} is not supported; only PORT is incremented")
    if "port" in values:
        variables["PORT"] = values["port"]
    for name in names:
        try:
            pinned = pm2.port(variables.get(name))
        except ValueError:
            continue  # a pipe's name, say: it stays what it is, a variable
        del variables[name]
        return {"port": pinned, "port_env": name}
    return {}


def _port_in_args(values: Values, port: Table) -> Table:
    """Of several instances that share it under PM2: each is told its own."""
    args = values.get("args")
    words = [str(each) for each in args] if isinstance(args, list) else []
    found, pinned = port_of(words), port.get("port")
    is_cluster = str(values.get("exec_mode", "")).startswith("cluster")
    if values.get("instances", 1) == 1 or not found or pinned not in {found, None}:
        return {}
    if pinned is None and not is_cluster:
        return {}
    variable = str(port.get("port_env", "PORT"))
    own = {"port": found, "port_env": variable}
    return {**own, "args": with_variable(words, found, variable)}


def _instances(values: Values, context: Pm2Context) -> Table:
    number = values.get("instances", 1)
    if not isinstance(number, int) or number == 0:
        return {"instances": "max"}
    return {"instances": number if number > 0 else max(1, context.cores + number)}


def _restarts(values: Values) -> Table:
    grows, fixed = values.get("exp_backoff_restart_delay"), values.get("restart_delay")
    if isinstance(grows, float) and grows:
        return {"backoff": grows, "backoff_limit": max(grows, _LIMIT)}
    return {"backoff": fixed, "backoff_limit": fixed} if fixed else {}


def _times(values: Values, port: Table, report: ImportReport) -> Table:
    """PM2's way to run something at its times is to restart what has ended."""
    times = values.get("cron_restart")
    if not times:
        return {}
    alone = values.get("instances", 1) == 1 and not port
    if values.get("autorestart", True) or not alone:
        return {"restart_schedule": times}
    report.note("cron_restart without autorestart: it runs at its times, not immediately")
    return {"schedule": times, "port": False}


def _logs(values: Values, context: Pm2Context, report: ImportReport) -> Table:
    both = values.get("log_file")
    if both and values.get("out_file") and values.get("error_file"):
        report.note(
            "log_file is not written, because out_file and error_file are set; `portico logs` "
            "merges them"
        )
    files = {
        "stdout": values.get("out_file") or both,
        "stderr": values.get("error_file") or both,
    }
    for stream, file in files.items():
        if _STREAM.fullmatch(str(file)):
            report.note(f"{file} is a stream of PM2; {stream} is written to PORTICO_HOME/logs")
            files[stream] = None
    cwd = _cwd(values, context)  # PM2's relative log files start in it, as the script does
    named = {
        stream: "/dev/null" if file == "NULL" else posixpath.join(cwd, _path(str(file), context))
        for stream, file in files.items()
        if file
    }
    timestamp = values.get("log_date_format") or (
        "%Y-%m-%dT%H:%M:%S" if values.get("time") else ""
    )
    found = named | ({"timestamp": str(timestamp)} if timestamp else {})
    return {"logs": found} if found else {}


def _inherits(values: Values, report: ImportReport) -> bool:
    left_out = values.get("filter_env")
    if isinstance(left_out, (str, list)) and left_out:
        report.note("filter_env: no variable is inherited, not only those that it filters")
    return not left_out


def _path(path: str, context: Pm2Context) -> str:
    """With `~` as PM2 takes it."""
    return posixpath.join(context.home, path[1:].lstrip("/")) if path[:1] == "~" else path
