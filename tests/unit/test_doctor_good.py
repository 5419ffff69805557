"""What is right is not reported: configurations as their makers recommend them, and Portico's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from portico.stack.doctor.diagnose import diagnose
from portico.stack.doctor.gathering import gather
from portico.stack.doctor.machine import Machine
from tests.golden.test_nginx import AS_ROOT, CASES, WITH_MODULES
from tests.rendered import FULL, WHEEL, rendered

GOOD = sorted((Path(__file__).parents[1] / "stacks/good").iterdir())

WRITTEN_SO = {
    "outside": {"localhost-twice"},  # an upstream of the operator's that names localhost
    "site_options": {"buffering-off-for-all"},  # buffering = false for a site
}
"""What the operator's own file asks for, in those that Portico's rendering is reviewed with."""


def found(paths, machine=None):
    facts = gather(paths, {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    findings = diagnose(replace(facts, machine=machine or Machine()))
    return [
        f"{each.rule.code} {each.place.line}: {each.what}"
        for each in findings
        if each.rule.severity != "hint"
    ]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_nothing_is_found_in_a_good_configuration(path):
    assert found(sorted(path.iterdir()) if path.is_dir() else [path]) == []


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_nothing_is_found_in_what_portico_renders(tmp_path, case):
    build = FULL if case.name in WITH_MODULES else WHEEL
    text = (case / "portico.toml").read_text()
    path = tmp_path / "nginx.conf"
    path.write_text(rendered(text, root=case.name in AS_ROOT, build=build)["nginx.conf"])
    codes = {each.split()[0] for each in found([path], Machine(nginx=(1, 31, 3)))}
    assert codes == WRITTEN_SO.get(case.name, set())
