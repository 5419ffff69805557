"""`portico doctor` as a command: what it prints, and its exit code."""

from __future__ import annotations

import io
import json

import pytest

from portico.cli.main import run
from portico.stack.doctor.diagnose import RULES
from portico.stack.doctor.findings_json import FINDINGS, json_schema

ERROR = "upstream app {\n    server 127.0.0.1:3000 down;\n    keepalive 8;\n}\n"
WARNING = "upstream app {\n    server 127.0.0.1:3000;\n}\n"
ADVICE = (
    "upstream app {\n    ip_hash;\n    server 127.0.0.1:3000;\n    server 127.0.0.1:3001;\n"
    "    keepalive 8;\n}\n"
)
GOOD = "upstream app {\n    server 127.0.0.1:3000;\n    keepalive 8;\n}\n"


@pytest.fixture
def doctor(tmp_path):
    def ask(text, *words, name="upstream.conf"):
        path = tmp_path / name
        path.write_text(text)
        out, err = io.StringIO(), io.StringIO()
        code = run(["doctor", str(path), *words], {"PORTICO_HOME": "/nowhere/at/all"}, out, err)
        return code, out.getvalue().replace(f"{tmp_path}/", ""), err.getvalue()

    return ask


def test_a_finding_has_place_fault_reason_remedy_code_and_page(doctor):
    _, out, _ = doctor(ERROR)
    words = " ".join(out.split())
    assert words.startswith(
        "error: upstream.conf:1: upstream app has no server that is not down nginx starts with "
        "it, and answers every request with 502. Fix: Remove `down` from a server that runs. "
        "Code: every-server-down, docs/doctor/every-server-down.md"
    )
    assert out.endswith("\n1 error\n")


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (GOOD, (), 0),
        (ADVICE, (), 0),
        (WARNING, (), 1),
        (ERROR, (), 2),
        (WARNING, ("--fail-on", "error"), 0),
        (ERROR, ("--fail-on", "error"), 2),
        (ADVICE, ("--fail-on", "advice"), 1),
        (ERROR, ("--fail-on", "never"), 0),
        (ERROR, ("--ignore", "every-server-down"), 0),
    ],
)
def test_the_exit_code_is_that_of_the_most_severe_finding(doctor, text, words, code):
    assert doctor(text, *words)[0] == code
    assert doctor(text, *words, "--json")[0] == code


def test_where_nothing_is_wrong_it_says_so(doctor):
    assert doctor(GOOD) == (0, "nothing found\n", "")


def test_json_is_a_list_with_all_of_a_finding(doctor):
    code, out, _ = doctor(WARNING, "--json")
    [finding] = json.loads(out)
    assert code == 1
    assert finding["code"] == "upstream-without-keepalive"
    assert (finding["severity"], finding["file"], finding["line"]) == (
        "warning",
        "upstream.conf",
        1,
    )
    FINDINGS.validate_json(out, strict=True)
    assert finding.keys() == json.loads(json_schema())["$defs"]["FindingView"]["properties"].keys()


def test_sarif_is_as_its_standard_says(doctor):
    _, out, _ = doctor(ERROR, "--sarif")
    log = json.loads(out)
    assert log["version"] == "2.1.0"
    [sarif] = log["runs"]
    driver = sarif["tool"]["driver"]
    assert [each["id"] for each in driver["rules"]] == [each.code for each in RULES]
    assert {each["defaultConfiguration"]["level"] for each in driver["rules"]} <= {
        "error",
        "warning",
        "note",
    }
    for each in driver["rules"]:
        assert each["shortDescription"]["text"]
        assert each["fullDescription"]["text"]
        assert each["help"]["text"]
    [result] = sarif["results"]
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "every-server-down"
    assert result["level"] == "error"
    assert result["message"]["text"].startswith("upstream app has no server that is not down. ")
    [location] = result["locations"]
    physical = location["physicalLocation"]
    assert physical["artifactLocation"]["uri"].endswith("upstream.conf")
    assert physical["region"] == {"startLine": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--ignore", "every-servers-down"), "did you mean every-server-down?"),
        (("--fail-on", "all"), "invalid choice: 'all'"),
    ],
)
def test_a_wrong_option_is_refused(doctor, words, says):
    code, _, err = doctor(GOOD, *words)
    assert code == 2
    assert says in err


def test_a_file_of_no_kind_is_refused(doctor):
    code, _, err = doctor("nothing of this kind", name="notes.txt")
    assert code == 2
    assert "is not of a kind that Portico reads" in err
