"""What the daemon asks of the child that counts, and how an answer begins.

A question is a line of JSON on its standard input: `{"layout": …}`, which has no answer, or
`{"ask": "rates" | "series" | "metrics", "of": {…}}`. An answer is its length in a line, then the
text: JSON, and of `metrics` the text format of Prometheus.
"""

from __future__ import annotations

from typing import Final

MODULE: Final = "portico.adapters.traffic.child.main"
WINDOW: Final = 60
"""Seconds that rates are of."""
