"""The alert rules and the dashboard of contrib/: they use metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from shutil import which

import pytest

from portico.adapters.traffic.child.counter import Counter, Layout
from portico.adapters.traffic.child.exposition import exposition
from portico.core.counting.counts import Counts
from portico.core.counting.table import Row
from portico.system.clock import SystemClock

ROOT = Path(__file__).parent.parent.parent
CONTRIB = ROOT / "contrib"
RULES = CONTRIB / "prometheus/portico.rules.yml"
DASHBOARD = CONTRIB / "grafana/portico.json"


def counted(folder: Path) -> str:
    counter = Counter(folder / "traffic", SystemClock())
    counter.arrange(Layout({}, []))
    row = Row("p", "", "a.test", "/x", "p/web", "p/web.1.7")
    times = {0: 1, 320: 2}
    counter.table.add(
        row, 0.0, Counts(requests=3, retries=1, failed=1, times=times, upstream_times=times)
    )
    return exposition(counter)


@pytest.mark.skipif(which("promtool") is None, reason="promtool is not installed")
def test_the_alert_rules_are_valid_and_alert_as_they_say():
    for words in (("check", "rules", RULES), ("test", "rules", RULES.with_suffix(".test.yml"))):
        found = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_every_metric_that_is_used_is_one(file: Path, tmp_path: Path):
    used = {name.removesuffix("_bucket") for name in re.findall(r"portico_\w+", file.read_text())}
    ours = (ROOT / "src/portico/engine/control/metrics.py").read_text()
    known = {*re.findall(r'"(portico_\w+)"', ours)}
    known |= {
        f"portico_certificate_{n}" for n in re.findall(r'certificate_family\(\s*"(\w+)"', ours)
    }
    known |= {*re.findall(r"^# TYPE (\w+)", counted(tmp_path), re.MULTILINE)}
    assert {re.sub("_seconds_(sum|count)$", "_seconds", name) for name in used} <= known


def test_the_dashboard_has_a_query_in_each_panel():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])


@pytest.mark.skipif(which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong_with_the_metrics_of_requests(tmp_path: Path):
    text = counted(tmp_path)
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert 'le="0.002"} 1' in text
    assert 'route="/x",app="web",instance="web.1",code="5xx"' in text
