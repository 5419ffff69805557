"""What instances printed last, merged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from portico.adapters.logs.files import FileLogs
from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.engine.control.output import MAX_FILES, Output


class Printed:
    """Instances of apps, whose files a test writes."""

    def __init__(self, folder):
        self.logs, self._specs, self._instances = FileLogs(folder), {}, {}
        (folder / "apps").mkdir()

    def add(self, app, slot, text, stream="stdout"):
        spec = self._specs.setdefault(app, Spec(app, app, App(command="run"), "/srv", {}))
        self._instances[app, slot] = SimpleNamespace(app=app, slot=slot)
        path = getattr(self.logs.files(spec, slot), stream)
        with Path(path).open("a", errors="surrogateescape") as file:
            file.write(text)

    def lines(self, *apps, slot=None, count=20, grep=""):
        engine = SimpleNamespace(
            intent=SimpleNamespace(versions=SimpleNamespace(target=self._specs.__getitem__)),
            observed=SimpleNamespace(instances=self._instances),
        )
        found = asyncio.run(Output(engine, self.logs).lines(apps, slot, count, grep))
        return [(each.instance, each.line) for each in found]


@pytest.fixture
def printed(tmp_path):
    return Printed(tmp_path)


def at(second, text):
    return f"2026-11-29T10:00:{second:02}Z {text}\n"


def test_lines_of_instances_are_merged_by_their_times(printed):
    printed.add("web", 1, at(1, "a") + "  a frame of it\n" + at(4, "d"))
    printed.add("web", 2, at(2, "b") + at(5, "e"))
    printed.add("web", 2, at(3, "c"), stream="stderr")
    printed.add("api", 1, at(6, "of another app"))
    found = printed.lines("web")
    assert [line.split("Z ")[-1] for _, line in found] == [*"a", "  a frame of it", *"bcde"]
    assert [who for who, _ in found][-3:] == ["web.2", "web.1", "web.2"]
    assert printed.lines("web", count=2) == found[-2:]
    assert {who for who, _ in printed.lines("web", slot=2)} == {"web.2"}
    assert printed.lines("web", "api", grep="OTHER APP") == [
        ("api.1", at(6, "of another app")[:-1])
    ]


def test_what_a_terminal_would_obey_is_shown_as_text(printed):
    printed.add("web", 1, "\x1b]0;title\x07 \udcff\n")
    assert printed.lines("web") == [("web.1", "\\x1b]0;title\\x07 \ufffd")]


def test_of_too_many_files_those_that_were_written_last_are_shown(printed, tmp_path):
    for slot in range(1, MAX_FILES + 11):
        printed.add("web", slot, at(slot % 60, f"of {slot}"))
        printed.add("web", slot, "", stream="stderr")
    shown = {who for who, _ in printed.lines("web", count=1000)}
    assert len(shown) <= MAX_FILES
    assert f"web.{MAX_FILES + 10}" in shown
