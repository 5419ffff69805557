"""Objects of Kubernetes that run the processes of a file, as one YAML file.

Deployment, Job or CronJob by app, a Service for each that listens, a Secret for its env_files. The
objects of its sites are those of `sites.py`.
"""

from __future__ import annotations

import math
import os
import posixpath
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.desired import DesiredApp
from portico.stack.export.processes import Process

# Any: an object of Kubernetes, whose schemas are its own
Object = dict[str, Any]
SERVICE_PORT: Final = 80
_LOOPBACK, _ALL_ADDRESSES = "127.0.0.1", "0.0.0.0"  # noqa: S104 - of a pod
_LEAVING_TIME: Final = 5
"""Seconds for which a pod still answers when it has left the Service: nodes learn that later."""


def loopback_commands(processes: Iterable[Process]) -> Iterator[str]:
    """What is lost of those that would listen where nobody but their pod reaches them."""
    for each in processes:
        if each.slot == 1 and each.port and any(_LOOPBACK in word for word in each.argv):
            yield f"{each.app_name}: its command has {_LOOPBACK}, where no Service reaches it"


def manifest(objects: Iterable[Object]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=1000)


def object_name(name: str) -> str:
    """A DNS label (RFC 1035), as a Service needs it."""
    label = name.replace("_", "-")
    return label if label[0].isalpha() else f"app-{label}"


def file_name(site: str) -> str:
    """A DNS subdomain (RFC 1123)."""
    return site.replace("*", "wildcard")


def secret_name(site: str) -> str:
    """Of its certificate."""
    return f"{file_name(site)}-tls"


def site_object(version: str, kind: str, name: str, project: str) -> Object:
    """Without its spec."""
    return _head(version, kind, name, {"app.kubernetes.io/part-of": project})


def app_objects(project: str, app: DesiredApp, process: Process, image: str) -> Iterator[Object]:
    """`process` is the first one of the app: all pods are alike, and each has its own address."""
    labels = {
        "app.kubernetes.io/name": object_name(app.name),
        "app.kubernetes.io/part-of": project,
    }
    secret = f"{object_name(app.name)}-env" if process.from_files else ""
    if secret:
        yield {
            **_head("v1", "Secret", secret, labels),
            "stringData": dict(process.from_files),
        }
    pod = {"metadata": {"labels": labels}, "spec": _pod(app.app, process, image, secret)}
    yield _workload(app, labels, pod)
    if process.port:
        yield {
            **_head("v1", "Service", object_name(app.name), labels),
            "spec": {
                "selector": labels,
                "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": "http"}],
            },
        }


def _head(version: str, kind: str, name: str, labels: Mapping[str, str]) -> Object:
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _workload(app: DesiredApp, labels: Mapping[str, str], pod: Object) -> Object:
    name, its = object_name(app.name), app.app
    if its.schedule:
        job = {"backoffLimit": 0, "template": pod}
        if its.timeout:
            job["activeDeadlineSeconds"] = _seconds(its.timeout)
        spec: Object = {"schedule": its.schedule, "concurrencyPolicy": "Forbid"}
        if its.tz:
            spec["timeZone"] = its.tz
        if not its.autostart:
            spec["suspend"] = True
        spec["jobTemplate"] = {"spec": job}
        return {**_head("batch/v1", "CronJob", name, labels), "spec": spec}
    if its.runs_once:
        spec = {"backoffLimit": 0, "template": pod}
        return {**_head("batch/v1", "Job", name, labels), "spec": spec}
    spec = {
        "replicas": app.instances if its.autostart else 0,
        "selector": {"matchLabels": dict(labels)},
        "strategy": _strategy(its),
        "template": pod,
    }
    return {**_head("apps/v1", "Deployment", name, labels), "spec": spec}


def _strategy(app: App) -> Object:
    if app.replace_order == "stop_first":
        return {"type": "Recreate"}
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": app.batch, "maxUnavailable": 0},
    }


def _pod(app: App, process: Process, image: str, secret: str) -> Object:
    ends = app.runs_once or app.schedule is not None
    leaving = _LEAVING_TIME + app.drain_timeout if process.port else 0.0
    return {
        "restartPolicy": "Never" if ends else "Always",
        "terminationGracePeriodSeconds": _seconds(leaving + app.stop_timeout),
        "containers": [dict(_container(app, process, image, secret))],
    }


def _container(
    app: App, process: Process, image: str, secret: str
) -> Iterator[tuple[str, object]]:
    yield "name", object_name(process.app_name)
    yield "image", image
    yield "command", [_literal(word) for word in (_program(process), *process.argv[1:])]
    yield "env", [{"name": n, "value": _literal(v)} for n, v in _variables(app, process)]
    if secret:
        yield "envFrom", [{"secretRef": {"name": secret}}]
    if app.max_memory:
        yield "resources", {"limits": {"memory": str(app.max_memory)}}
    if app.stdin == "open":
        yield "stdin", True
    if process.port:
        yield "ports", [{"name": "http", "containerPort": process.port}]
        yield "lifecycle", {"preStop": {"sleep": {"seconds": _LEAVING_TIME}}}
    if (process.port or app.health) and not app.schedule:
        yield from _probes(app, process.port)


def _variables(app: App, process: Process) -> Iterator[tuple[str, str]]:
    """Not those of this machine, nor its number: pods are alike."""
    own = {*app.env, app.port_env}
    for name, value in process.environment.items():
        if name in own or not (app.inherit_env or name in {"PATH", app.instance_env, "pm_id"}):
            is_ours = name == "HOST" and name not in app.env
            yield name, _ALL_ADDRESSES if is_ours else value


def _program(process: Process) -> str:
    """From the working folder, or to be found in the image's PATH: what is elsewhere on this
    machine need not be there in the image.
    """
    program = process.argv[0]
    if not program.startswith("/"):
        return program
    if os.path.commonpath((program, process.cwd)) == process.cwd:
        return f"./{posixpath.relpath(program, process.cwd)}"
    return posixpath.basename(program)


def _literal(text: str) -> str:
    """In a container's command and variables `$(NAME)` is a variable, and `$$` a dollar sign."""
    return text.replace("$(", "$$(")


def _probes(app: App, port: int) -> Iterator[tuple[str, Object]]:
    check = app.check
    probe = _probe(check, port)
    timeout = _seconds(check.limit)
    asked = {**probe, "periodSeconds": _seconds(check.interval), "timeoutSeconds": timeout}
    if app.after_ready_timeout == "restart":
        times = _seconds(app.ready_timeout + check.grace)
        yield "startupProbe", {**asked, "periodSeconds": 1, "failureThreshold": times}
    yield (
        "readinessProbe",
        {**asked, "successThreshold": check.rise, "failureThreshold": check.fall},
    )
    if app.health is not None and check.restart:
        yield "livenessProbe", {**asked, "failureThreshold": 2 * check.fall}


def _probe(check: Check, port: int) -> Object:
    if check.command is not None:
        command = check.command
        words = shlex.split(command) if isinstance(command, str) else command
        return {"exec": {"command": [_literal(word) for word in words]}}
    if check.grpc:
        named = {"service": check.grpc} if isinstance(check.grpc, str) else {}
        return {"grpc": {"port": port, **named}}  # which takes no name
    if check.path is None:
        return {"tcpSocket": {"port": "http"}}
    headers = {**({"Host": check.host} if check.host else {}), **check.headers}
    asked: Object = {"path": check.path, "port": "http"}
    if headers:
        asked["httpHeaders"] = [{"name": n, "value": str(v)} for n, v in headers.items()]
    return {"httpGet": asked}


def _seconds(time: float) -> int:
    """Kubernetes has whole seconds, from 1."""
    return max(1, math.ceil(time))
