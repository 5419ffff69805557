"""Numbers as the dashboard shows them, by Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from portico.api import dashboard

FORMAT = Path(dashboard.__file__).parent / "static/format.js"
MOMENTS = {
    "0": "1970-01-01 00:00:00 UTC",
    "1e300": "never",
    "-1e300": "unknown",
    "NaN": "unknown",
}


def test_any_number_of_another_machine_is_shown() -> None:
    shown = f"[{', '.join(f'moment({each})' for each in MOMENTS)}, day(86400)]"
    script = f"{FORMAT.read_text()}\nconsole.log(JSON.stringify({shown}))"
    result = subprocess.run(
        ["node", "--input-type=module", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(result.stdout) == [*MOMENTS.values(), "1970-01-02"]
