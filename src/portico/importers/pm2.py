"""A PM2 ecosystem file as a table of ours. Pure: no file is read here.

Programs run as under PM2: with the whole environment of the shell, stopped by SIGINT, on the
ports that their variables name. What PM2 has and Portico has not is reported by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from portico.core.config.findings import did_you_mean, nearest
from portico.importers.import_report import ImportReport
from portico.importers.pm2_app import Pm2Context, Table, Values, app_table
from portico.importers.pm2_attributes import (
    BY_WORD,
    TOP_LEVEL,
    MappedAttribute,
    MissingAttribute,
    variables,
)
from portico.importers.pm2_upstreams import upstreams

MAX_NAME_LENGTH: Final = 50
_LISTS: Final = ("apps", "pm2")


@dataclass(frozen=True, slots=True)
class FromPm2:
    table: Table
    notes: tuple[str, ...]


def from_pm2(exported: object, source: str, context: Pm2Context) -> FromPm2:
    """`exported` is what the file exports, as JSON values; `source` is its path.

    ConfigError has everything that is wrong with it.
    """
    report = ImportReport(source)
    deployed = _deployed(exported, context)
    apps: dict[str, Table] = {}
    for where, entry in _entries(exported, report):
        values = _values(entry, where, report)
        table = app_table(values, deployed, context, report)
        apps[_name(values, context, apps, report)] = table
    report.refuse_if_wrong()
    report.about()
    _settle_ports(apps, context, report)
    groups = upstreams(apps)
    for name, together in groups.items():
        report.note(f"{', '.join(together)} run the same program and form the upstream {name}")
    table = {"upstreams": {name: {"apps": list(names)} for name, names in groups.items()}}
    return FromPm2({"apps": apps} | (table if groups else {}), report.notes())


def _entries(exported: object, report: ImportReport) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The apps, each with its place in the file, where PM2 looks for them."""
    found, place = exported, "the file"
    if isinstance(exported, Mapping):
        place = next((name for name in _LISTS if name in exported), place)
        found = exported.get(place, exported)
        if place == "apps":
            _report_unused(exported, report)
    if not isinstance(found, list):
        found = [found]
    for index, entry in enumerate(found):
        where = f"{place}[{index}]"
        if isinstance(entry, Mapping):
            yield where, entry
        else:
            report.about(where=where)
            report.problem("", f"must be an object that describes an app, not {entry!r}")


def _report_unused(exported: Mapping[str, object], report: ImportReport) -> None:
    for key in exported.keys() - {"apps"}:
        hint = did_you_mean(nearest(key, (*_LISTS, *TOP_LEVEL)))
        unknown = "not a key of a PM2 file" + (f"; {hint}" if hint else "")
        report.note(f"{key} is {TOP_LEVEL.get(key, unknown)}")


def _values(entry: Mapping[str, object], where: str, report: ImportReport) -> Values:
    """What PM2 knows, by its main words and read; the rest, and what is missing, is reported."""
    report.about(str(entry.get("name") or entry.get("script") or where), where)
    values: Table = {}
    for word, value in entry.items():
        attribute = BY_WORD.get(word)
        if isinstance(attribute, MissingAttribute):
            if value not in attribute.idle:
                report.note(f"{word} is {attribute.why}")
            continue
        if attribute is None and not word.startswith("env_"):
            hint = did_you_mean(nearest(word, BY_WORD))
            report.note(f"{word} is not an attribute of PM2" + (f"; {hint}" if hint else ""))
        elif value not in (attribute.idle if isinstance(attribute, MappedAttribute) else (None,)):
            try:
                read = attribute.value(value) if attribute else variables(value)
                values.setdefault(attribute.words[0] if attribute else word, read)
            except ValueError as error:
                report.problem(word, str(error))
    return values


def _deployed(exported: object, context: Pm2Context) -> Values:
    """With `--env NAME` PM2 also sets what `deploy.NAME.env` has, before an app's own."""
    found = exported
    for key in ("deploy", context.environment, "env"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _name(
    values: Values, context: Pm2Context, used: Mapping[str, object], report: ImportReport
) -> str:
    """PM2's name as a name of ours, unlike every other."""
    script = str(values.get("script", "app")).rpartition("/")[2]
    wanted = str(values.get("name") or script.rpartition(".")[0] or script)
    if "name_prefix" in values:
        wanted = f"{values['name_prefix']}:{wanted}"
    if values.get("append_env_to_name") and context.environment:
        wanted = f"{wanted}-{context.environment}"
    short = re.sub(r"[^a-z0-9_-]+", "-", wanted.lower()).strip("-_")[:MAX_NAME_LENGTH].strip("-_")
    tried = (f"{short or 'app'}-{number}" for number in count(2))
    name = short or "app"
    while name in used:
        name = next(tried)
    if name != wanted:
        report.note(f"{wanted!r} is called {name} here")
    return name


def _settle_ports(apps: Mapping[str, Table], context: Pm2Context, report: ImportReport) -> None:
    """Where each app listens, now that all are known.

    An app of one instance without a port in its variables may listen where it likes or nowhere,
    as under PM2, until a site is put before it.
    """
    ports = {name: _ports(app, context) for name, app in apps.items()}
    for name, app in apps.items():
        others = {port for other, its in ports.items() if other != name for port in its}
        several = app["instances"] != 1
        if several and ports[name] and others & set(ports[name]):
            app.pop("port")
            ports[name] = range(0)
        if several:
            report.about(name)
            report.note(_several(app))
        elif "port" not in app:
            app["port"] = False


def _several(app: Table) -> str:
    first = f", from {app['port']} on" if app.get("port") else ""
    variable = app.get("port_env", "PORT")
    return (
        f"each instance listens on its own port{first}, in the variable {variable}; with PM2 "
        "they share one"
    )


def _ports(app: Table, context: Pm2Context) -> range:
    first, instances = app.get("port"), app["instances"]
    number = context.cores if instances == "max" else instances
    if not isinstance(first, int) or not isinstance(number, int):
        return range(0)
    return range(first, first + number)
