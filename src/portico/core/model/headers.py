"""Names and values of headers, as RFC 9110 5 has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from portico.core.model.units import Kind

HeaderName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), Kind("the name of a header")
]
PlainHeaderName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9-]+$"),
    Kind("the name of a header, of letters, digits and -"),
]
"""One that nginx has a variable for."""
HeaderValue = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]*$"), Kind("one line of text", secret=True)
]
