"""Each rule of `portico doctor` by the example of its page: as it is wrong, and as fixed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from portico.stack.doctor.diagnose import FAMILIES, RULES, diagnose
from portico.stack.doctor.gathering import gather
from portico.stack.doctor.machine import Machine
from portico.stack.doctor.pages import PLACE, pages

ROOT = Path(__file__).parents[2]


def findings(folder, files, machine=None):
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    facts = gather([folder / name for name in files], {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    return diagnose(replace(facts, machine=machine or Machine()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_finds_its_fault_and_nothing_where_it_is_mended(tmp_path, rule):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    example = rule.example
    found = findings(before, example.before, example.machine)
    assert rule.code in {each.rule.code for each in found}
    assert all(each.place.file for each in found)
    fixed = findings(after, example.after, example.fixed_machine or example.machine)
    assert rule.code not in {each.rule.code for each in fixed}


def test_a_code_is_of_one_rule_and_words_with_hyphens():
    codes = [each.code for each in RULES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code) for code in codes)
    assert {each.family for each in RULES} == FAMILIES.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_text_of_a_rule_is_sentences(rule):
    for text in (rule.why, rule.fix):
        assert text.endswith((".", ":")), text
        assert "  " not in text
    assert not rule.title.endswith(".")


def test_the_pages_are_as_the_rules_say():
    written = {each.name: each.read_text() for each in (ROOT / PLACE).glob("*.md")}
    assert written == pages(), "stale: run scripts/doctor-pages"
