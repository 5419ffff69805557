"""The text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Sample = tuple[Mapping[str, str], float]


def family(name: str, says: str, samples: Iterable[Sample], *, kind: str = "gauge") -> str:
    """Empty without samples."""
    lines = [f"{name}{labels_text(labels)} {number(value)}\n" for labels, value in samples]
    return head(name, says, kind) + "".join(lines) if lines else ""


def head(name: str, says: str, kind: str) -> str:
    return f"# HELP {name} {says}\n# TYPE {name} {kind}\n"


def labels_text(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items()) + "}"


def number(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
