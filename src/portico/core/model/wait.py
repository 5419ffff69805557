"""Waiting: requests that no peer can take now are held for a while."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from portico.core.model.units import Duration, Table

MAX_WAIT = 3600.0  # seconds


class Wait(Table):
    """Hold requests while no instance can take them."""

    timeout: Duration = Field(
        ge=0, le=MAX_WAIT, description="The longest time to hold a request; 0: it is not held."
    )
    requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1000, description="How many requests of the site may be held; others get 503."
    )
