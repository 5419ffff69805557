"""What Portico knows, in the text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from portico.core.model.certificate_views import CertificateView
from portico.core.model.exposition import Sample, family
from portico.core.model.instance import InstanceState
from portico.core.model.views import AppView, NeighbourView, StatusView, UpstreamView


def metrics_text(status: StatusView, certificates: Sequence[CertificateView], now: float) -> str:
    """`now` is wall time."""
    # A site and a command of standalone may want one of the same name: the site's is first.
    wanted = list({view.name: view for view in reversed(certificates) if view.wanted}.values())
    return "".join(
        (
            *_daemon(status),
            *_apps(status.apps, _machine_label(status)),
            *_servers(status.upstreams),
            *_machines(status.neighbours),
            *_certificates(wanted, now),
        )
    )


def _daemon(status: StatusView) -> Iterator[str]:
    daemon, nginx = status.daemon, status.nginx
    versions = {"version": daemon.version, "nginx": nginx.version, **_machine_label(status)}
    yield family("portico_info", "Versions; always 1.", [(versions, 1)])
    yield family(
        "portico_uptime_seconds", "Seconds since the start of the daemon.", [({}, daemon.uptime_s)]
    )
    yield family(
        "portico_memory_bytes", "Resident memory of the daemon.", [({}, daemon.memory_bytes)]
    )
    yield family(
        "portico_troubles", "Problems that `portico status` lists.", [({}, len(status.troubles))]
    )
    up = nginx.pid is not None
    yield family("portico_nginx_up", "Whether nginx's master runs.", [({}, up)])
    yield family(
        "portico_nginx_generation",
        "Generation of the configuration that nginx has loaded.",
        [({}, nginx.generation)],
    )
    yield family(
        "portico_nginx_workers",
        "Worker processes, with those that shut down.",
        [({}, nginx.workers)],
    )
    yield family("portico_nginx_connections", "Connections of clients.", [({}, nginx.connections)])
    yield family(
        "portico_nginx_reloads_total",
        "Reloads of nginx since the daemon was started.",
        [({}, nginx.reloads)],
        kind="counter",
    )


def _machine_label(status: StatusView) -> dict[str, str]:
    """On a machine of a cluster, so that the sums of an app over machines are by name."""
    return {"machine": status.machine} if status.machine else {}


def _apps(apps: Sequence[AppView], machine: dict[str, str]) -> Iterator[str]:
    def labels_of(app: AppView) -> dict[str, str]:
        return {**machine, "project": app.project, "app": app.name}

    yield family(
        "portico_app_instances_wanted",
        "Configured instances of an app.",
        [(labels_of(app), app.wanted) for app in apps],
    )
    yield family(
        "portico_app_instances",
        "Instances by state.",
        [each for app in apps for each in _by_state(app, labels_of(app))],
    )
    yield family(
        "portico_app_restarts_total",
        "Restarts of the current instances.",
        [(labels_of(app), sum(i.restarts for i in app.instances)) for app in apps],
        kind="counter",
    )
    every = [({**labels_of(app), "instance": i.id}, i) for app in apps for i in app.instances]
    yield family(
        "portico_instance_memory_bytes",
        "Resident memory of an instance.",
        [(labels, i.memory_bytes) for labels, i in every],
    )
    yield family(
        "portico_instance_cpu_seconds_total",
        "Processor time of an instance and its children.",
        [(labels, i.cpu_s) for labels, i in every],
        kind="counter",
    )
    yield family(
        "portico_instance_connections",
        "Established connections on the port of an instance.",
        [(labels, i.connections) for labels, i in every],
    )
    yield family(
        "portico_instance_up",
        "Whether an instance is ready and passes its health check.",
        [(labels, i.state == InstanceState.READY) for labels, i in every],
    )
    yield family(
        "portico_instance_problem",
        "Why an instance is not ready, or was not the last time; always 1.",
        [({**labels, "reason": i.reason}, 1) for labels, i in every if i.reason],
    )
    yield family(
        "portico_app_waits",
        "What an app waits for before it starts; always 1.",
        [({**labels_of(app), "reason": app.waits}, 1) for app in apps if app.waits],
    )
    yield family(
        "portico_instance_restarts",
        "Restarts of an instance since it was created.",
        [(labels, i.restarts) for labels, i in every],
    )


def _servers(upstreams: Sequence[UpstreamView]) -> Iterator[str]:
    if upstreams:
        yield family(
            "portico_server_up",
            "Whether a server elsewhere passes its health check.",
            [
                (
                    {"project": each.project, "upstream": each.name, "server": server.address},
                    server.healthy,
                )
                for each in upstreams
                for server in each.servers
            ],
        )


def _machines(neighbours: Sequence[NeighbourView]) -> Iterator[str]:
    if neighbours:
        yield family(
            "portico_machine_up",
            "Whether another machine of the cluster answers this one.",
            [({"machine": each.name}, each.reached) for each in neighbours],
        )
        yield family(
            "portico_machine_used",
            "Whether requests are sent to another machine of the cluster.",
            [({"machine": each.name}, each.used) for each in neighbours],
        )
        yield family(
            "portico_machine_drained",
            "Whether another machine of the cluster is drained.",
            [({"machine": each.name}, each.drained) for each in neighbours],
        )


def _by_state(app: AppView, labels: Mapping[str, str]) -> Iterator[Sample]:
    """Every state, so that none vanishes from a graph when nothing is in it."""
    counted = Counter(i.state for i in app.instances)
    for state in InstanceState:
        yield {**labels, "state": state.value}, counted[state.value]


def _certificates(views: Sequence[CertificateView], now: float) -> Iterator[str]:
    def certificate_family(
        name: str, says: str, samples: Iterable[tuple[CertificateView, float]]
    ) -> str:
        named = [({"certificate": view.name}, value) for view, value in samples]
        return family(f"portico_certificate_{name}", says, named)

    ends = [(view, view.given_until) for view in views if view.given_until is not None]
    yield certificate_family(
        "not_after_seconds", "Expiry of the served certificate, Unix time.", ends
    )
    yield certificate_family(
        "left_seconds",
        "Seconds until expiry; negative after it.",
        [(view, round(end - now, 1)) for view, end in ends],
    )
    yield certificate_family(
        "served", "Whether every listener serves the certificate.", [(v, v.served) for v in views]
    )
    yield certificate_family(
        "last_try_failed",
        "Whether the last order or deploy failed.",
        [(view, bool(view.error)) for view in views],
    )
    yield certificate_family(
        "warning", "Whether it expires too soon.", [(v, bool(v.warning)) for v in views]
    )
    yield certificate_family(
        "next_seconds",
        "Time of its next action, Unix time.",
        [(view, view.next_at) for view in views if view.next_at is not None],
    )
    yield family(
        "portico_certificate_problem",
        "The last error, while it is not resolved; always 1.",
        [({"certificate": v.name, "reason": v.error}, 1) for v in views if v.error],
    )
