"""A PM2 ecosystem file as a table of ours. Pure: no file is read here.

Programs run as under PM2: with the whole environment of the shell, stopped by SIGINT, on the
ports that their variables name. What PM2 has and Portico has not is reported by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from portico.core.config.findings import did_you_mean, nearest
from portico.core.model.labels import app_label
from portico.importers import pm2_serve
from portico.importers.import_report import ImportReport
from portico.importers.pm2_app import app_table
from portico.importers.pm2_attributes import (
    ATTRIBUTES_BY_WORD,
    LISTEN_TIMEOUT,
    TOP_LEVEL,
    MissingAttribute,
    variables,
)
from portico.importers.pm2_context import Pm2Context, Table, Values
from portico.importers.pm2_upstreams import alike_but_for_variables, upstreams

_LISTS: Final = ("apps", "pm2")


@dataclass(frozen=True, slots=True)
class Pm2Import:
    table: Table
    notes: tuple[str, ...]
    folders: Mapping[str, Table]
    """By app: what a site shows of an app that does nothing but serve a folder."""


def from_pm2(exported: object, source: str, context: Pm2Context) -> Pm2Import:
    """`exported` is what the file exports, as JSON values; `source` is its path.

    ConfigError has everything that is wrong with it.
    """
    report = ImportReport(source)
    deployed = _with_deployment(exported, context)
    apps: dict[str, Table] = {}
    modes: dict[str, str] = {}
    written: dict[str, str] = {}
    for where, entry in _entries(exported, report):
        values = _values(entry, where, report)
        table = app_table(values, deployed, context, report)
        wanted = _written_name(values, context)
        name = _name(wanted, apps, report)
        apps[name], written[name] = table, wanted
        modes[name] = str(values.get("exec_mode", "")).removesuffix("_mode")
    _choose(apps, written, context, report)
    report.refuse_if_wrong()
    report.set_subject()
    _settle_ports(apps, modes, context, report)
    groups = upstreams(apps)
    _add_pm2_variables(apps, written, context)
    for same in alike_but_for_variables(apps, groups):
        report.note(
            f"{', '.join(same)} run the same program with different settings and are separate "
            f"apps; --site NAME={same[0]} selects one"
        )
    for name, together in groups.items():
        report.note(f"{', '.join(together)} run the same program and form the upstream {name}")
    table = {"upstreams": {name: {"apps": list(names)} for name, names in groups.items()}}
    return Pm2Import({"apps": apps} | (table if groups else {}), report.notes(), _folders(apps))


def _folders(apps: Mapping[str, Table]) -> dict[str, Table]:
    served = {name: app for name, app in apps.items() if app.get("port_env") == pm2_serve.PORT}
    found = {name: pm2_serve.folder(app) for name, app in served.items()}
    return {name: table for name, table in found.items() if table is not None}


def _entries(exported: object, report: ImportReport) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The apps, each with its place in the file, where PM2 looks for them."""
    found, place = exported, "the file"
    if isinstance(exported, Mapping):
        place = next((name for name in _LISTS if name in exported), place)
        found = exported.get(place, exported)
        if place == "apps":
            _report_unused(exported, report)
        elif found is exported and not exported.keys() & ATTRIBUTES_BY_WORD.keys():
            report.set_subject(where=place)
            report.problem("", "describes no app", "PM2's files export { apps: [{ script: … }] }")
            return
    if not isinstance(found, list):
        found = [found]
    for index, entry in enumerate([*found, *pm2_serve.static_entries(exported)]):
        where = f"{place}[{index}]"
        if isinstance(entry, Mapping):
            yield where, entry
        else:
            report.set_subject(where=where)
            report.problem("", f"must be an object that describes an app, not {entry!r}")


def _report_unused(exported: Mapping[str, object], report: ImportReport) -> None:
    for key in exported.keys() - {"apps", "static"}:
        hint = did_you_mean(nearest(key, (*_LISTS, *TOP_LEVEL)))
        unknown = "not a key of a PM2 file" + (f"; {hint}" if hint else "")
        report.note(f"{key} is {TOP_LEVEL.get(key, unknown)}")


def _values(entry: Mapping[str, object], where: str, report: ImportReport) -> Values:
    """What PM2 knows, by its main words and read; the rest, and what is missing, is reported."""
    report.set_subject(str(entry.get("name") or entry.get("script") or where), where)
    values: Table = {}
    for word, value in entry.items():
        attribute = ATTRIBUTES_BY_WORD.get(word)
        if isinstance(attribute, MissingAttribute):
            if value not in attribute.idle:
                report.note(f"{word} is {attribute.why}")
            continue
        if attribute is None and not word.startswith("env_"):
            hint = did_you_mean(nearest(word, ATTRIBUTES_BY_WORD))
            report.note(f"{word} is not an attribute of PM2" + (f"; {hint}" if hint else ""))
        elif value not in (attribute.idle if attribute else (None,)):
            try:
                read = attribute.value(value) if attribute else variables(value)
                values.setdefault(attribute.words[0] if attribute else word, read)
            except ValueError as error:
                report.problem(word, str(error))
    return values


def _with_deployment(exported: object, context: Pm2Context) -> Values:
    """With `--env NAME` PM2 also sets what `deploy.NAME.env` has, before an app's own."""
    found = exported
    for key in ("deploy", context.environment, "env"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _written_name(values: Values, context: Pm2Context) -> str:
    """As PM2 has it."""
    script = str(values.get("script", "app")).rpartition("/")[2]
    wanted = str(values.get("name") or script.rpartition(".")[0] or script)
    if "name_prefix" in values:
        wanted = f"{values['name_prefix']}:{wanted}"
    if values.get("append_env_to_name") and context.environment:
        wanted = f"{wanted}-{context.environment}"
    return wanted


def _name(wanted: str, used: Mapping[str, object], report: ImportReport) -> str:
    """PM2's name as a name of ours, unlike every other."""
    short = app_label(wanted) or "app"
    tried = (f"{short}-{number}" for number in count(2))
    name = short
    while name in used:
        name = next(tried)
    if name != wanted:
        report.note(f"{wanted!r} is called {name} here")
    return name


def _choose(
    apps: Mapping[str, Table],
    written: Mapping[str, str],
    context: Pm2Context,
    report: ImportReport,
) -> None:
    """With `--only` the others are not started, and go on where they run."""
    report.set_subject()
    for name in context.only:
        if name not in {*apps, *written.values()}:
            report.problem("--only", f"there is no app {name}; known: {', '.join(apps)}")
    left = [n for n in apps if context.only and not {n, written[n]} & set(context.only)]
    for name in left:
        apps[name]["autostart"] = False
    if left:
        report.note(f"{', '.join(left)}: not started, because --only does not name them")


def _add_pm2_variables(
    apps: Mapping[str, Table], written: Mapping[str, str], context: Pm2Context
) -> None:
    """What PM2 sets beside NODE_APP_INSTANCE, for programs that read it."""
    number = 0
    for name, app in apps.items():
        env = app.get("env", {})
        app["env"] = {"name": written[name], **(env if isinstance(env, dict) else {})}
        app["pm_id"] = number
        number += _instances(app, context)


def _settle_ports(
    apps: Mapping[str, Table], modes: Mapping[str, str], context: Pm2Context, report: ImportReport
) -> None:
    """Where each app listens, now that all are known.

    An app of one instance without a port in its variables may listen where it likes or nowhere,
    as under PM2, until a site is put before it. Its successor cannot start while it runs. Several
    in fork mode could not share a port under PM2, so they are workers.
    """
    _share_no_port(apps, report)
    ports = {name: _ports(app, context) for name, app in apps.items()}
    for name, app in apps.items():
        others = {port for other, its in ports.items() if other != name for port in its}
        several = app["instances"] != 1
        if several and ports[name] and others & set(ports[name]):
            app.pop("port")
            ports[name] = range(0)
        if not several or modes[name] == "fork":
            app.setdefault("port", False)
        if several and app.get("port") is not False:
            report.set_subject(name)
            report.note(_own_ports_note(app))
            if modes[name] != "fork":
                app["port_fallback"] = True
            if "port" not in app:
                app.setdefault("ready_timeout", LISTEN_TIMEOUT)  # it may listen nowhere
        if app.get("port") is False and "schedule" not in app:
            app["replace_order"] = "stop_first"
            if "min_uptime" in app:
                app.setdefault("ready_timeout", LISTEN_TIMEOUT)  # PM2 does not wait for it


def _share_no_port(apps: Mapping[str, Table], report: ImportReport) -> None:
    """One port in several entries: under PM2, too, one of them listens on it, and the others only
    have the variable. Which one that is shows where one has several instances, or starts alone.
    """
    named: defaultdict[object, list[str]] = defaultdict(list)
    for name, app in apps.items():
        if app.get("port"):
            named[app["port"]].append(name)
    for names in named.values():
        starting = [name for name in names if apps[name].get("autostart", True)] or names
        clusters = [name for name in starting if apps[name]["instances"] != 1]
        owner = clusters[:1] or (starting if len(starting) == 1 else [])
        for name in names if len(names) > 1 else ():
            if name not in owner:
                report.set_subject(name)
                _yield_port(apps[name], report)


def _yield_port(app: Table, report: ImportReport) -> None:
    """A second cluster listens all the same, as PM2's do together."""
    port, env = app.pop("port"), app.get("env")
    if app["instances"] != 1:
        report.note(f"port {port} is in several entries; here each instance gets another")
        return
    variable = str(app.pop("port_env"))
    app["env"] = {**(env if isinstance(env, dict) else {}), variable: port}
    app["port"] = False
    report.note(f"port {port} is in several entries; here {variable} is only a variable")


def _own_ports_note(app: Table) -> str:
    first = f", from {app['port']} on" if app.get("port") else ""
    variable = app.get("port_env", "PORT")
    return (
        f"each instance listens on its own port{first}, in the variable {variable}; with PM2 "
        "they share one"
    )


def _ports(app: Table, context: Pm2Context) -> range:
    first = app.get("port")
    if not isinstance(first, int) or first is False:
        return range(0)
    return range(first, first + _instances(app, context))


def _instances(app: Table, context: Pm2Context) -> int:
    number = app["instances"]
    return number if isinstance(number, int) else context.cores
