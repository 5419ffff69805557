"""A copy of requests for another app. Table `mirror` of a site or route."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from portico.core.model.name_types import AppName
from portico.core.model.units import Duration, Kind, Table


class Mirror(Table):
    """Requests are also sent to another app, and its responses are ignored (nginx mirror)."""

    app: AppName | None = Field(None, description="Name of the app that gets the copies.")
    upstream: AppName | None = Field(None, description="Name of the upstream that gets them.")
    share: Annotated[
        str,
        Field(pattern=r"^(100|[1-9]?[0-9](\.[0-9]{1,2})?)%$"),
        Kind('a share such as "10%" or "0.5%"'),
    ] = Field("100%", description="Share of the requests, chosen at random.")
    request_body: bool = Field(
        True,
        description="Send the body too; then nginx reads all of it before it passes a request on, "
        "and request_buffering has no effect. false: without the body.",
    )
    timeout: Duration = Field(
        1.0,
        ge=0.001,
        description="How long a copy may take to connect, and to answer. The next request of the "
        "same HTTP/1.1 connection waits for it.",
    )
