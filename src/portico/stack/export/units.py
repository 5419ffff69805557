"""systemd units that run the processes of a file, and nginx before them (systemd.service(5))."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portico.core.model.app import App
from portico.stack.export.calendar import calendar_events
from portico.stack.export.processes import Process

BOOT_TARGET: Final = "multi-user.target"


def units(project: str, processes: Sequence[Process], nginx: Sequence[str]) -> dict[str, str]:
    """Name to text. `nginx` is its program with the options that name its files, or empty."""
    written: dict[str, str] = {}
    for process in processes:
        before = [each for each in processes if each.app_name in process.app.after]
        after = [f"{project}-{each.name}.service" for each in before]
        written[f"{project}-{process.name}.service"] = _text(_service(project, process, after))
        if process.app.schedule:
            written[f"{project}-{process.name}.timer"] = _text(_timer(project, process))
    if nginx:
        written[f"{project}-nginx.service"] = _text(_nginx(project, nginx))
    return written


def _service(project: str, process: Process, after: Sequence[str]) -> Iterator[str]:
    app = process.app
    yield "[Unit]"
    yield f"Description={process.name} of {project}"
    yield "After=network-online.target" + "".join(f" {each}" for each in after)
    yield "Wants=network-online.target"
    if after:
        yield f"Requires={' '.join(after)}"
    if not app.schedule:
        yield f"StartLimitIntervalSec={app.max_restarts * app.min_uptime:g}s"
        yield f"StartLimitBurst={max(app.max_restarts, 1)}"
    yield from ("", "[Service]")
    yield f"Type={_type(app)}"
    if app.runs_once:
        yield "RemainAfterExit=yes"
    if app.wait_ready:
        yield "NotifyAccess=all"
    yield f"ExecStart={' '.join(map(_argument, process.argv))}"
    yield f"WorkingDirectory={process.cwd.replace('%', '%%')}"
    for name, value in process.environment.items():
        yield f"Environment={_quote(f'{name}={value}')}"
    yield from (f"EnvironmentFile={each.replace('%', '%%')}" for each in process.env_files)
    yield from _account(app)
    yield from _life(app)
    yield from _output(app)
    if app.autostart and not app.schedule:
        yield from ("", "[Install]", f"WantedBy={BOOT_TARGET}")


def _type(app: App) -> str:
    if app.runs_once or app.schedule:
        return "oneshot"
    return "notify" if app.wait_ready else "exec"


def _start_timeout(app: App) -> str:
    """A `oneshot` starts until it has ended."""
    if app.schedule:
        return f"{app.timeout:g}" if app.timeout else "infinity"
    return "infinity" if app.runs_once else f"{app.ready_timeout:g}"


def _account(app: App) -> Iterator[str]:
    yield from (f"User={each}" for each in (app.user,) if each)
    yield from (f"Group={each}" for each in (app.group,) if each)


def _life(app: App) -> Iterator[str]:
    if app.comes_back:
        yield "Restart=always"
        yield f"RestartSec={app.backoff:g}"
    if app.stop_exit_codes:
        yield f"RestartPreventExitStatus={' '.join(map(str, app.stop_exit_codes))}"
    yield f"TimeoutStartSec={_start_timeout(app)}"
    yield f"KillSignal={app.stop_signal}"
    yield f"TimeoutStopSec={app.stop_timeout:g}"
    yield "KillMode=mixed"
    yield "LimitNOFILE=65536"
    if app.max_memory:
        yield f"MemoryMax={app.max_memory}"


def _output(app: App) -> Iterator[str]:
    for stream, path in (("Output", app.logs.stdout), ("Error", app.logs.stderr)):
        if path and path.startswith("/"):
            yield f"Standard{stream}=append:{path.replace('%', '%%')}"


def _timer(project: str, process: Process) -> Iterator[str]:
    events = calendar_events(process.app.schedule or "", process.app.tz)
    yield from ("[Unit]", f"Description=Times of {process.name} of {project}", "", "[Timer]")
    yield from (f"OnCalendar={each}" for each in events or ())
    yield from ("AccuracySec=1s", "", "[Install]", "WantedBy=timers.target")


def _nginx(project: str, words: Sequence[str]) -> Iterator[str]:
    command = " ".join(map(_argument, words))
    yield from ("[Unit]", f"Description=nginx of {project}", "After=network-online.target")
    yield from ("Wants=network-online.target", "", "[Service]", "Type=simple")
    yield f"ExecStartPre={command} -t -q"
    yield f"ExecStart={command} -g {_argument('daemon off;')}"
    yield f"ExecReload={command} -s reload"
    yield from ("KillSignal=SIGQUIT", "TimeoutStopSec=60", "KillMode=mixed", "Restart=always")
    yield from ("LimitNOFILE=65536", "", "[Install]", f"WantedBy={BOOT_TARGET}")


def _text(lines: Iterator[str]) -> str:
    return "\n".join((*lines, ""))


def _argument(word: str) -> str:
    """In ExecStart a `$` would be a variable."""
    return _quote(word.replace("$", "$$"))


def _quote(word: str) -> str:
    """One word, as systemd.syntax(7) takes it."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if plain.isprintable():
        return f'"{plain}"'
    octets = (c if c.isprintable() else "".join(f"\\x{o:02x}" for o in c.encode()) for c in plain)
    return f'"{"".join(octets)}"'


def lost_schedules(processes: Sequence[Process]) -> Mapping[str, str]:
    """The cron expressions that no timer can say, by app."""
    return {
        each.app_name: each.app.schedule
        for each in processes
        if each.app.schedule and calendar_events(each.app.schedule, each.app.tz) is None
    }
