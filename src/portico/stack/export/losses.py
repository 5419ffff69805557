"""What is lost without Portico, in words, for what a file uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from portico.core.model.app import App
from portico.core.model.document import Document
from portico.stack.export import kubernetes_keys

Target = Literal["nginx", "systemd", "pm2", "kubernetes"]
_ALL_NOTES: Final[Mapping[Target, tuple[str, ...]]] = {
    "nginx": (
        "nginx does not know which process is ready: it tries another one after a failed request",
        "a process has a fixed port, so it is stopped before its successor starts",
    ),
    "systemd": (
        "`systemctl restart` stops a process before its successor runs",
        "a deploy does not stop at a version that fails, and nothing rolls it back",
    ),
    "pm2": (
        "`pm2 reload` stops a process before its successor runs",
        "a deploy does not stop at a version that fails, and nothing rolls it back",
        "PM2 itself is started at boot only after `pm2 startup` and `pm2 save`",
    ),
    "kubernetes": (
        "each image must contain the program and its files, and start in their folder",
        "a deploy stops at a version that fails; `kubectl rollout undo` rolls it back",
        "delays between restarts, the repetition of requests and logs are those of the cluster",
    ),
}
_Uses = Callable[[App], bool]
_PROCESS_KEYS: Final[Mapping[str, tuple[_Uses, str]]] = {
    "health": (lambda app: app.health is not None, "is not checked"),
    "watch": (lambda app: bool(app.watches), "has no effect"),
    "max_age": (lambda app: app.max_age is not None, "has no effect"),
    "batch": (lambda app: app.batch > 1, "has no effect"),
    "slow_start": (lambda app: app.slow_start > 0, "has no equivalent in open-source nginx"),
    "drain_timeout": (
        lambda app: "drain_timeout" in app.model_fields_set,
        "has no meaning: open requests get stop_timeout, if the program answers them",
    ),
    "find_port": (lambda app: app.find_port, "has no effect: the program must listen on $PORT"),
    "port_fallback": (
        lambda app: app.port_fallback,
        "has no effect: the program must listen on $PORT",
    ),
    "env_file": (
        lambda app: bool(app.env_file),
        "is read with other rules for quotes and `$`, and wins over `env`",
    ),
    "max_memory": (
        lambda app: app.max_memory is not None,
        "ends the process (MemoryMax=) where Portico starts its successor first",
    ),
    "schedule": (lambda app: app.schedule is not None, "runs once more at every start of PM2"),
    "restart_schedule": (lambda app: app.restart_schedule is not None, "has no unit"),
    "logs": (
        lambda app: "logs" in app.model_fields_set,
        "are not rotated: use logrotate, or the journal",
    ),
}
_EXCLUDED_KEYS: Final[Mapping[Target, frozenset[str]]] = {
    "nginx": frozenset(_PROCESS_KEYS) - {"health", "slow_start", "find_port"},
    "systemd": frozenset({"slow_start", "schedule"}),
    "pm2": frozenset({"slow_start", "max_memory", "restart_schedule", "env_file"}),
}


def losses(document: Document, target: Target) -> Iterator[str]:
    """Beginning with what holds for every file."""
    yield from _ALL_NOTES[target]
    if target == "kubernetes":
        yield from kubernetes_keys.notes(document)
        return
    for key, (uses, what) in _PROCESS_KEYS.items():
        apps = [name for name, app in document.apps.items() if uses(app)]
        if apps and key not in _EXCLUDED_KEYS[target]:
            yield f"{', '.join(apps)}: {key} {what}"
    if target == "nginx":
        yield from _site_losses(document)


def _site_losses(document: Document) -> Iterator[str]:
    issued = [name for name, site in document.sites.items() if site.https and not site.certificate]
    if issued and not document.tls.certificate:
        yield (
            f"{', '.join(issued)}: the certificate is not renewed; `portico certs export` writes "
            "a folder for certbot, and its deploy hook must reload nginx"
        )
    if any(upstream.health for upstream in document.upstreams.values()):
        yield "health of [upstreams] is not checked: nginx finds out by a failed request"
    if document.notify:
        yield "[notify]: no events are sent"
    if document.edge.metrics:
        yield "[edge] metrics: not served"
