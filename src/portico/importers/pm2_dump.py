"""`dump.pm2`, in which `pm2 save` keeps what runs, as a file of PM2 would describe it.

It has an entry for each process, and with the variables of an app all those of the shell that
PM2 was started from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_CONFIGURATION_KEYS: Final = frozenset(
    ("name", "args", "node_args", "watch", "ignore_watch", "watch_delay", "autorestart",
     "autostart", "max_memory_restart", "kill_timeout", "listen_timeout", "wait_ready",
     "cron_restart", "restart_delay", "exp_backoff_restart_delay", "max_restarts", "min_uptime",
     "log_date_format", "instance_var", "stop_exit_codes", "uid", "gid", "shutdown_with_message")
)  # fmt: skip
"""What an operator has set, or PM2 by default; all else is PM2's own state."""
_LOGS: Final = {"pm_out_log_path": "out_file", "pm_err_log_path": "error_file"}
_SHELL_VARIABLES: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|TERM|TERM_.*|COLORTERM|SSH_.*"
    r"|LS_COLORS|LSCOLORS|LESS.*|PWD|OLDPWD|SHLVL|_|MAIL|EDITOR|VISUAL|PAGER|XDG_.*|DBUS_.*"
    r"|DISPLAY|WAYLAND_.*|HIST.*|PS1|HOSTNAME|HOSTTYPE|SUDO_.*|NVM_.*|FNM_.*|VOLTA_.*|TMUX.*"
    r"|VSCODE_.*|WSL.*|GPG_.*|which_declare|BASH_FUNC.*|MOTD_SHOWN|DEBUGINFOD_.*|npm_.*|INIT_CWD"
    r"|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|MEMORY_PRESSURE_.*|QUOTING_STYLE|PROMPT_.*"
)
_PM2_VARIABLES: Final = re.compile(
    r"PM2_.*|pm_.*|NODE_APP_INSTANCE|NODE_CHANNEL_.*|unique_id|name|namespace|axm_.*|vizion.*"
    r"|km_link|status|exec_mode|exec_interpreter|instances|version|node_version|created_at"
    r"|restart_time|unstable_restarts|exit_code|windowsHide|username|treekill|automation|pmx"
    r"|autostart|autorestart|watch|merge_logs|instance_var|prev_restart_delay|versioning"
)


def entries(dump: object, environ: Mapping[str, str]) -> object:
    """What a file of PM2 would export; anything but a dump comes back as it is.

    `environ` is a shell's, whose variables are taken to be those of the one before.
    """
    if not isinstance(dump, list):
        return dump
    apps: dict[tuple[object, ...], dict[str, object]] = {}
    for process in dump:
        if not isinstance(process, Mapping):
            return dump
        key = tuple(str(process.get(each)) for each in ("name", "pm_exec_path", "pm_cwd", "args"))
        if key in apps:
            apps[key]["instances"] = _count(apps[key]) + 1
        else:
            apps[key] = _entry(process, environ)
    return {"apps": list(apps.values())}


def _count(entry: Mapping[str, object]) -> int:
    found = entry["instances"]
    return found if isinstance(found, int) else 1


def _entry(process: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    entry = {key: value for key, value in process.items() if key in _CONFIGURATION_KEYS}
    entry["script"] = process.get("pm_exec_path")
    entry["cwd"] = process.get("pm_cwd")
    entry["instances"] = 1
    if str(process.get("exec_mode", "")).startswith("cluster"):
        entry["exec_mode"] = "cluster"
    interpreter, script = process.get("exec_interpreter"), str(entry["script"])
    if interpreter not in {None, "node"} or not script.endswith((".js", ".cjs", ".mjs")):
        entry["interpreter"] = interpreter
    for theirs, ours in _LOGS.items():
        path = process.get(theirs)
        if isinstance(path, str) and "/.pm2/" not in path:
            entry[ours] = path
    if process.get("status") == "stopped":
        entry["autostart"] = False
    entry["env"] = _variables(process.get("env"), environ)
    return {key: value for key, value in entry.items() if value is not None}


def _variables(env: object, environ: Mapping[str, str]) -> dict[str, object]:
    return {
        name: value
        for name, value in (env.items() if isinstance(env, Mapping) else ())
        if not isinstance(value, (Mapping, list))
        and not _SHELL_VARIABLES.fullmatch(name)
        and not _PM2_VARIABLES.fullmatch(name)
        and environ.get(name) != value
    }
