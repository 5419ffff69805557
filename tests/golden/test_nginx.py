"""Whole files of operators, and what nginx is given for them, as reviewed.

What is the same for every file stands in `minimal` alone; the others show what comes after it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rendered import END_OF_BASICS, FULL, IN_CLUSTER, WHEEL, rendered

CASES = sorted(path.parent for path in Path(__file__).parent.glob("nginx/*/portico.toml"))
WHOLE = {"minimal", "edge", "http3"}
AS_ROOT = {"edge", "public_names"}
WITH_MODULES = {"compression", "http3"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_generation_is_as_reviewed(case, request):
    build = FULL if case.name in WITH_MODULES else WHEEL
    text = (case / "portico.toml").read_text()
    machine = IN_CLUSTER if case.name == "cluster" else None
    files = rendered(text, root=case.name in AS_ROOT, build=build, machine=machine)
    if case.name not in WHOLE:
        files["nginx.conf"] = files["nginx.conf"].split(END_OF_BASICS, 1)[1]
    expect = case / "expect"
    if request.config.getoption("--update-golden"):
        expect.mkdir(exist_ok=True)
        for old in expect.iterdir():
            old.unlink()
        for name, text in files.items():
            (expect / name).write_text(text)
    assert files == {path.name: path.read_text() for path in expect.iterdir()}


def test_every_case_has_the_same_basics():
    basics = {
        case.name: rendered((case / "portico.toml").read_text())["nginx.conf"].split(
            END_OF_BASICS
        )[0]
        for case in CASES
        if case.name not in WHOLE - {"minimal"}
    }
    assert set(basics.values()) == {basics["minimal"]}
