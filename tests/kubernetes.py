"""Schemas of the Gateway API and of cert-manager, as npm has them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.stack import CHECKOUT

MODELS = CHECKOUT / ".venv/frameworks"
HAS_MODELS = (MODELS / "node_modules/@kubernetes-models").is_dir()


def has_model(each: dict) -> bool:
    return each["apiVersion"].startswith(("cert-", "gateway."))


def refusals(objects: list[dict]) -> list[str]:
    """A line for each object that its schema refuses."""
    done = subprocess.run(
        ["node", Path(__file__).with_name("kubernetes_schemas.js"), MODELS],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
