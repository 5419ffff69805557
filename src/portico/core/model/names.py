"""Names that have been checked once, where they entered."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, NewType

from pydantic import AfterValidator, WithJsonSchema

InstanceId = NewType("InstanceId", str)
"""`web.2.7`: the seventh instance that app web ever had, in its slot 2."""

DISCOVERY_DOMAIN = "portico.internal"
LONGEST_NAME = 253  # RFC 1035 2.3.4: 255 octets on the wire, no trailing dot here
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_APP = re.compile(r"[a-z0-9]([a-z0-9_-]{0,48}[a-z0-9])?")


def parse_app_name(text: str) -> str:
    """An app's name is one label of a DNS name, because nginx finds instances by it."""
    if not _APP.fullmatch(text):
        raise ValueError(
            "a name has 1 to 50 lower-case letters, digits, - and _, "
            f"and starts and ends with a letter or digit; {text!r} does not"
        )
    return text


def parse_domain(text: str) -> str:
    """A lower-case host name or IP address that is safe to write into nginx configuration."""
    name = text.strip().rstrip(".").lower()
    if not name.isascii():
        name = name.encode("idna").decode()
    if is_ip(name) and "%" not in name:
        return str(ip_address(name.strip("[]")))
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{text!r} is longer than {LONGEST_NAME} characters")
    if not all(map(_LABEL.fullmatch, name.removeprefix("*.").split("."))):
        raise ValueError(f"{text!r} is not a domain name")
    return name


def is_ip(name: str) -> bool:
    return bool(re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", name)) or ":" in name


def slot_host(app: str, slot: int) -> str:
    """The stable name of a slot, by which a consistent hash places it."""
    return f"{slot}.{app}.{DISCOVERY_DOMAIN}"


def app_host(app: str) -> str:
    return f"{app}.{DISCOVERY_DOMAIN}"


AppName = Annotated[
    str,
    AfterValidator(parse_app_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_APP.pattern}$"}),
]
Domain = Annotated[str, AfterValidator(parse_domain), WithJsonSchema({"type": "string"})]
