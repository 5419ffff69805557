"""What `portico doctor` finds in a portico.toml."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.stack.doctor.diagnose import diagnose
from portico.stack.doctor.gathering import gather
from portico.stack.doctor.machine import FileFacts, Machine

FILE = """\
[edge]
metrics = "0.0.0.0:9090"

[apps.web]
command = "run"
watch = true
instances = 4
max_memory = "1500M"

[sites."a.example"]
app = "web"
aliases = ["www.a.example"]

[sites."a.example".tls]
certificate = "a.pem"
key = "a.key"
"""


@pytest.fixture
def found(tmp_path):
    def ask(text, machine=None):
        path = tmp_path / "portico.toml"
        path.write_text(text)
        findings = diagnose(replace(gather([path], {}), machine=machine or Machine()))
        return [(each.rule.code, each.place.line) for each in findings]

    return ask


def test_faults_of_a_file_are_found_with_their_lines(found, tmp_path):
    files = {
        f"{tmp_path}/a.pem": FileFacts(public_key="1", names=("a.example",)),
        f"{tmp_path}/a.key": FileFacts(public_key="2"),
    }
    machine = Machine(files=files, memory=4 << 30, nginx_arguments="--with-cc-opt=-Os")
    assert found(FILE, machine) == [
        ("key-of-another-certificate", 10),
        ("name-not-covered", 10),
        ("metrics-open-to-network", 2),
        ("memory-limits-above-machine", 4),
        ("watch-in-production", 4),
        ("nginx-built-for-size", 0),
    ]


def test_of_the_machine_nothing_is_reported_that_was_not_looked_at(found):
    assert found(FILE) == [("metrics-open-to-network", 2), ("watch-in-production", 4)]


def test_nothing_is_found_in_a_small_file(found):
    assert found('[apps.web]\ncommand = "run"\n\n[sites."a.example"]\napp = "web"\n') == []


def test_a_debian_job_that_ends_under_systemd_is_not_a_second_renewal(tmp_path):
    path = tmp_path / "certbot"
    path.write_text(
        "# m h dom mon dow user command\n"
        "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && "
        "certbot -q renew\n"
    )
    facts = gather([path], {})
    timer = Machine(renewers=("/etc/systemd/system/timers.target.wants/certbot.timer",))
    assert len(facts.stack.renewals) == 1
    assert diagnose(replace(facts, machine=timer)) == []
