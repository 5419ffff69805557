"""Every rule that needs more than one key to be decided."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.app_rules import app_findings, user_findings
from portico.core.config.capabilities import (
    capability_notes,
    capability_problems,
    needed_of_nginx,
)
from portico.core.config.edge_rules import Machine, edge_findings
from portico.core.config.findings import Draft, Finding
from portico.core.config.issuing_rules import issuing_findings
from portico.core.config.machine_rules import machine_findings
from portico.core.config.notes import notes
from portico.core.config.notification_rules import notification_findings
from portico.core.config.order_rules import order_findings
from portico.core.config.site_rules import site_findings
from portico.core.config.slow_start_rules import slow_start_findings
from portico.core.config.stream_rules import stream_findings
from portico.core.config.upstream_rules import upstream_findings
from portico.core.model.document import Document
from portico.errors import Problem

__all__ = [
    "capability_notes",
    "capability_problems",
    "machine_problems",
    "needed_of_nginx",
    "notes",
    "rule_findings",
]


def rule_findings(draft: Draft) -> Iterator[Finding]:
    """What is wrong whatever machine the file is for; `read_document` tells it."""
    yield from app_findings(draft)
    yield from order_findings(draft)
    yield from upstream_findings(draft)
    yield from slow_start_findings(draft)
    yield from site_findings(draft)
    yield from stream_findings(draft)
    yield from edge_findings(draft.document, None)
    yield from machine_findings(draft)
    yield from issuing_findings(draft.document)
    yield from notification_findings(draft)


def machine_problems(document: Document, *, root: bool, cores: int) -> list[Problem]:
    """What is wrong with a sound document on a machine with so many cores, as root or not."""
    findings = [*edge_findings(document, Machine(root=root, cores=cores))]
    if not root:
        findings += user_findings(document)
    return [finding.problem() for finding in findings]
