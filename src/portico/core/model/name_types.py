"""Names as keys and values of the file."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from portico.core.model.names import (
    APP_NAME,
    APP_NAME_FORM,
    DOMAIN_FORM,
    parse_app_name,
    parse_domain,
)
from portico.core.model.units import Kind

AppName = Annotated[
    str,
    AfterValidator(parse_app_name),
    Kind(APP_NAME_FORM),
    WithJsonSchema({"type": "string", "pattern": f"^{APP_NAME.pattern}$"}),
]
Domain = Annotated[
    str,
    AfterValidator(parse_domain),
    Kind(DOMAIN_FORM),
    WithJsonSchema({"type": "string", "pattern": r"^(\*\.)?[^*/\s]+$"}),
]
