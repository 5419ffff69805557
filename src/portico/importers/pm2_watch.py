"""What a PM2 file says of watching: chokidar's paths, patterns and options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from portico.importers.import_report import ImportReport

_HIDDEN_PATTERN: Final = ".*"
"""PM2 ignores what is hidden, and node_modules, where it is told of nothing to ignore."""
_HIDDEN_AS_DOCUMENTED: Final = r"[\/\\]\."
_GLOB = re.compile(r"[*?\[{(]")
_NO_PATTERN = re.compile(r"[\\^$()|+{}]")
_EXPRESSION = re.compile(r"/([^/]+)/i?")
_OPTIONS: Final[Mapping[str, tuple[tuple[object, ...], str]]] = {
    "ignored": ((), ""),
    "persistent": ((True,), "not supported when false"),
    "ignoreInitial": ((True,), "not supported when false"),
    "followSymlinks": ((False,), "not supported: use the target of a link"),
    "usePolling": ((False,), "not needed: the kernel reports changes"),
    "awaitWriteFinish": ((False,), "not needed: watch_delay counts from the last change"),
    "atomic": ((True, False), "not needed"),
}
"""Of each option the values that change nothing, and what is said of others."""


def watch_settings(values: Mapping[str, object], report: ImportReport) -> dict[str, object]:
    """The keys `watch`, `ignore_watch` and `watch_delay` of an app."""
    watched = values.get("watch")
    if not watched:
        return {}
    if values.get("cron_restart") and not values.get("autorestart", True):
        report.note("watch is not needed: each run starts the current program")
        return {}
    options = _object(values.get("watch_options"))
    _report_options(options, report)
    paths = watched if watched is True else [_path(path, report) for path in _texts(watched)]
    ignored = options.get("ignored", values.get("ignore_watch"))
    patterns = [_HIDDEN_PATTERN] if ignored is None else list(_patterns(ignored, report))
    delay = values.get("watch_delay")
    return {
        "watch": paths,
        **({"ignore_watch": patterns} if patterns else {}),
        **({"watch_delay": delay} if delay else {}),
    }


def _report_options(options: Mapping[str, object], report: ImportReport) -> None:
    for name, value in options.items():
        same, why = _OPTIONS.get(name, ((), "not supported"))
        if why and value not in same:
            report.note(f"watch_options.{name} is {why}")


def _path(path: str, report: ImportReport) -> str:
    """Patterns are taken by chokidar too: all of the folder that one starts with is watched."""
    if not (found := _GLOB.search(path)):
        return path
    folder = path[: found.start()].rpartition("/")[0] or "."
    report.note(f"watch {path}: all of {folder} is watched")
    return folder


def _patterns(ignored: object, report: ImportReport) -> Iterator[str]:
    """Names count anywhere below the app's folder here, and in PM2 only directly in it."""
    for pattern in _texts(ignored):
        expression = _EXPRESSION.fullmatch(pattern)
        plain = (expression[1] if expression else pattern).replace(r"\.", ".")
        if pattern.startswith(_HIDDEN_AS_DOCUMENTED):
            yield _HIDDEN_PATTERN
        elif _NO_PATTERN.search(plain):
            report.note(
                f"ignore_watch {pattern} is ignored: it is not a pattern of *, ? and [a-z]"
            )
        elif expression or "/" in plain.rstrip("/"):
            yield plain
        else:
            yield f"./{plain}"


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
