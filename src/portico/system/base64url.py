"""Base64 as ACME writes everything. Apart from what reads certificates: that takes megabytes."""

from __future__ import annotations

import base64


def base64url(data: bytes) -> str:
    """RFC 7515 2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
