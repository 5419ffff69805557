"""Why a certificate is revoked: the reasons that its owner may give (RFC 5280 5.3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Reason = Literal[
    "unspecified", "keycompromise", "affiliationchanged", "superseded", "cessationofoperation"
]
"""In certbot's words."""
REASON_CODES: Final[Mapping[Reason, int]] = {
    "unspecified": 0,
    "keycompromise": 1,
    "affiliationchanged": 3,
    "superseded": 4,
    "cessationofoperation": 5,
}
