"""Names that have been checked once, where they entered."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address
from typing import Annotated, NewType

from pydantic import AfterValidator, WithJsonSchema

from portico.core.model.units import Kind, shown

InstanceId = NewType("InstanceId", str)
"""`web.2.7`: the seventh instance that app web ever had, in its slot 2."""

PROJECT = "default"
"""The project of a file that names none."""
DISCOVERY_DOMAIN = "portico.internal"
MAX_NAME_LENGTH = 253  # RFC 1035 2.3.4: 255 octets on the wire, no trailing dot here
_MAX_FOLDER_LENGTH = 200  # NAME_MAX is 255 bytes
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_APP = re.compile(r"[a-z0-9]([a-z0-9_-]{0,48}[a-z0-9])?")
_LOCAL = (".localhost", ".internal", ".test", ".local")
_APP_NAME = Kind(
    "a name of 1 to 50 lower-case letters, digits, - and _, with a letter or digit at both ends"
)
_DOMAIN = Kind("a domain name or an IP address")


def parse_app_name(text: str) -> str:
    """An app's name is one label of a DNS name, because nginx finds instances by it."""
    if not _APP.fullmatch(text):
        raise ValueError(f"must be {_APP_NAME.text}, not {shown(text)}")
    return text


def parse_domain(text: str) -> str:
    """A lower-case host name or IP address that is safe to write into nginx configuration.

    A name with letters beyond ASCII comes back in the form that DNS has for it (RFC 3490).
    """
    name = text.strip().rstrip(".").lower()
    try:
        if is_ip(name) and "%" not in name:
            return str(ip_address(name.strip("[]")))
        name = name if name.isascii() else name.encode("idna").decode()
    except ValueError:
        raise ValueError(_no_domain(text)) from None
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"must have at most {MAX_NAME_LENGTH} characters, not {len(name)}")
    if not all(map(_LABEL.fullmatch, name.removeprefix("*.").split("."))):
        raise ValueError(_no_domain(text))
    return name


def _no_domain(text: str) -> str:
    """Says too where the parts belong that operators of nginx write around a name."""
    where = ""
    if "/" in text:
        where = "; write only the name"
    elif re.search(r"^[^:]+:[0-9]+$", text):
        where = "; ports are set in [edge]"
    elif "*" in text or text.startswith("."):
        where = '; a wildcard must be the first label, as in "*.example.com"'
    return f"must be {_DOMAIN.text}, not {shown(text)}{where}"


def is_ip(name: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", name)) or ":" in name


def is_local_name(name: str) -> bool:
    """Whether a site's name can only mean this machine or a private network (RFC 6761, 6762)."""
    if is_ip(name):
        return ip_address(name).is_loopback
    return f".{name}".endswith(_LOCAL)


def folder_name(lineage: str) -> str:
    """A folder's name that no other lineage has: `_.example.test` for `*.example.test`.

    No domain name has an underscore in it, so that one cannot be mistaken for a replaced
    character, nor for the authority's own folder.
    """
    if lineage == "authority":
        return "_authority"
    name = re.sub(r"[*:]", "_", lineage)
    if re.fullmatch(r"[a-z0-9_][a-z0-9._+-]*", name) and len(name) <= _MAX_FOLDER_LENGTH:
        return name
    plain = re.sub(r"[^a-z0-9_-]", "-", name)[:_MAX_FOLDER_LENGTH]
    return f"{plain}_{hashlib.sha256(lineage.encode()).hexdigest()[:16]}"


def slot_host(app: str, slot: int) -> str:
    """The stable name of a slot, by which a consistent hash places it."""
    return f"{slot}.{app}.{DISCOVERY_DOMAIN}"


def app_host(app: str) -> str:
    return f"{app}.{DISCOVERY_DOMAIN}"


AppName = Annotated[
    str,
    AfterValidator(parse_app_name),
    _APP_NAME,
    WithJsonSchema({"type": "string", "pattern": f"^{_APP.pattern}$"}),
]
Domain = Annotated[
    str,
    AfterValidator(parse_domain),
    _DOMAIN,
    WithJsonSchema({"type": "string", "pattern": r"^(\*\.)?[^*/\s]+$"}),
]
