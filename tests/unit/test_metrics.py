from __future__ import annotations

import re
from dataclasses import replace

from portico.core.model.certificate_views import CertificateView
from portico.core.model.views import DaemonView, NeighbourView, NginxView, StatusView
from portico.engine.control.metrics import metrics_text
from tests.fakes.control import app_view

NOW = 1_800_000_000.0
LINE = re.compile(r'(#.*|[a-z_]+(\{([a-z]+="([^"\\\n]|\\.)*",?)+\})? -?[0-9.e+-]+)\n')


def status(*apps, **more):
    return StatusView(
        apps=apps,
        sites=(),
        nginx=NginxView(pid=81, version="1.31.3", generation=2, program="/usr/sbin/nginx"),
        daemon=DaemonView(pid=1, version="0.1.0", memory_bytes=41 << 20, home="/h", uptime_s=7.5),
        **more,
    )


def certificate(name="a.test", **more):
    return CertificateView(name=name, names=(name,), next="issue", why="", **more)


def test_every_line_is_one_that_prometheus_can_read():
    held = certificate(given_until=NOW + 60, next_at=NOW + 5, error="no", warning="soon")
    text = metrics_text(status(app_view("web"), troubles=("x",)), [held], NOW)
    for line in text.splitlines(keepends=True):
        assert LINE.fullmatch(line), line
    names = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    assert len(names) == len(set(names))


def test_certificates_are_shown_with_what_matters_of_them():
    given = certificate(given_until=NOW + 86400.0, served=True, next_at=NOW + 60)
    late = certificate("b.test", given_until=NOW - 1.5, error="no answer", warning="expired")
    text = metrics_text(
        status(), [given, late, certificate("c.test"), certificate("old.test", wanted=False)], NOW
    )
    assert 'portico_certificate_not_after_seconds{certificate="a.test"} 1800086400.0\n' in text
    assert 'portico_certificate_left_seconds{certificate="b.test"} -1.5\n' in text
    assert 'portico_certificate_last_try_failed{certificate="b.test"} 1\n' in text
    assert 'portico_certificate_last_try_failed{certificate="a.test"} 0\n' in text
    assert 'portico_certificate_served{certificate="c.test"} 0\n' in text
    assert 'left_seconds{certificate="c.test"}' not in text, "it has none"
    assert "old.test" not in text, "nobody wants it any more"


def test_two_certificates_of_one_name_are_one_row():
    both = [certificate(given_until=NOW + 60, served=True), certificate()]
    text = metrics_text(status(), both, NOW)
    assert re.findall('portico_certificate_served{certificate="a.test"} (.)', text) == ["1"]


def test_instances_are_counted_in_every_state_there_is():
    text = metrics_text(status(app_view("web")), [], NOW)
    assert 'portico_app_instances{project="srv",app="web",state="ready"} 2\n' in text
    assert 'portico_app_instances{project="srv",app="web",state="failed"} 0\n' in text
    assert 'portico_app_instances_wanted{project="srv",app="web"} 2\n' in text
    assert 'portico_app_restarts_total{project="srv",app="web"} 0\n' in text
    assert (
        'portico_instance_memory_bytes{project="srv",app="web",instance="web.1.1"} 47185920\n'
        in text
    )


def test_what_an_operator_named_cannot_break_a_line():
    text = metrics_text(status(), [certificate('a"b\\c\nd')], NOW)
    assert r'certificate="a\"b\\c\nd"' in text


def test_why_an_app_does_not_come_up_is_shown():
    starting = app_view("web")
    first = starting.instances[0]
    ill = replace(first, state="backoff", reason="exited with code 1")
    web = starting.model_copy(update={"instances": (ill,), "waits": "waits for db"})
    text = metrics_text(status(web), [], NOW)
    problem = f'portico_instance_problem{{project="srv",app="web",instance="{ill.id}",reason='
    assert problem + '"exited with code 1"} 1\n' in text
    assert 'portico_app_waits{project="srv",app="web",reason="waits for db"} 1\n' in text
    assert "portico_instance_problem" not in metrics_text(status(starting), [], NOW)


def test_what_an_instance_uses_and_how_nginx_is_are_shown():
    web = app_view("web")
    ill = replace(web.instances[0], state="unready", connections=3, cpu_s=12.5)
    text = metrics_text(status(web.model_copy(update={"instances": (ill,)})), [], NOW)
    labels = f'{{project="srv",app="web",instance="{ill.id}"}}'
    assert f"portico_instance_connections{labels} 3\n" in text
    assert f"portico_instance_cpu_seconds_total{labels} 12.5\n" in text
    assert f"portico_instance_up{labels} 0\n" in text
    for name in ("workers", "connections", "reloads_total"):
        assert f"portico_nginx_{name} 0\n" in text


def test_the_last_error_of_a_certificate_is_shown_until_it_is_resolved():
    text = metrics_text(status(), [certificate(error="no answer"), certificate("b.test")], NOW)
    assert 'portico_certificate_problem{certificate="a.test",reason="no answer"} 1\n' in text
    assert 'portico_certificate_problem{certificate="b.test"' not in text


def test_on_a_machine_of_a_cluster_samples_of_apps_have_its_name():
    other = NeighbourView(name="m2", address="10.0.0.2", reached=True, used=True, drained=True)
    text = metrics_text(status(app_view("web"), machine="m1", neighbours=(other,)), [], NOW)
    assert 'portico_instance_up{machine="m1",project="srv",app="web",instance="web.1.1"} 1' in text
    assert 'portico_machine_drained{machine="m2"} 1\n' in text
    assert "machine=" not in metrics_text(status(app_view("web")), [], NOW)
