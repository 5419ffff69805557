"""Names that have been checked once, where they entered. Children need them: no pydantic here."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address
from typing import Final, NewType, TypeGuard

from portico.core.model.value_text import value_text

InstanceId = NewType("InstanceId", str)
"""`web.2.7`: the seventh instance that app web ever had, in its slot 2."""

PROJECT = "default"
"""Key of the project that came into force while no other was: the names of its apps and upstreams
are plain ones. Those of all others stand behind their project's key, as in `shop/web`."""
DISCOVERY_DOMAIN = "portico.internal"
MAX_NAME_LENGTH = 253  # RFC 1035 2.3.4: 255 octets on the wire, no trailing dot here
_MAX_FOLDER_LENGTH = 200  # NAME_MAX is 255 bytes
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
APP_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_-]{0,48}[a-z0-9])?")
_LOCAL_SUFFIXES = (".localhost", ".internal", ".test", ".local")
WAIT_LABEL = "wait"
FAR_LABEL = "far"
MACHINES_LABEL = "machines"
STREAMS_LABEL = "streams"
HELD_LABEL = "_held"
_PROJECT_LABEL = "_project"  # no app can be called so
APP_NAME_FORM: Final = (
    "a name of 1 to 50 lower-case letters, digits, - and _, with a letter or digit at both ends"
)
DOMAIN_FORM: Final = "a domain name or an IP address"


def parse_app_name(text: str) -> str:
    """An app's name is one label of a DNS name, because nginx finds instances by it."""
    if not APP_NAME.fullmatch(text):
        raise ValueError(f"must be {APP_NAME_FORM}, not {value_text(text)}")
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
    return f"must be {DOMAIN_FORM}, not {value_text(text)}{where}"


def is_ip(name: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", name)) or ":" in name


def url_host(name: str) -> str:
    """A host as it stands before a port, and in nginx's `server_name` (RFC 3986 3.2.2)."""
    return f"[{name}]" if ":" in name else name


def is_loopback_name(name: str) -> bool:
    """Whether a site's name can only mean this machine itself (RFC 6761 6.3)."""
    return ip_address(name).is_loopback if is_ip(name) else f".{name}".endswith(".localhost")


def is_local_name(name: str) -> bool:
    """Whether a site's name can only mean this machine or a private network (RFC 6761, 6762)."""
    if is_ip(name):
        return ip_address(name).is_loopback
    return f".{name}".endswith(_LOCAL_SUFFIXES)


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


def qualified_name(project: str, name: str) -> str:
    """The name that an app or upstream has among those of all projects, by its project's key."""
    return name if project == PROJECT else f"{project}/{name}"


def is_instance_name(text: str | None) -> TypeGuard[str]:
    """Whether a word of a command names one instance, `web.2` or `web.2.7`, and not an app."""
    return text is not None and "." in text


def split_name(qualified_name: str) -> tuple[str, str]:
    """The key of its project, and the name that it has there."""
    project, _, name = qualified_name.rpartition("/")
    return project or PROJECT, name


def label_of(qualified_name: str) -> str:
    """The same as a word that can be a file's name, and the host of a URL for nginx, and that no
    other name has: neither app names nor host names have a plus sign.
    """
    return qualified_name.replace("/", "+")


def slot_host(app: str, slot: int) -> str:
    """The stable name of a slot, by which a consistent hash places it."""
    return f"{slot}.{app_host(app)}"


def app_host(app: str) -> str:
    """`web.portico.internal`, or of another project `web.shop._project.portico.internal`."""
    project, name = split_name(app)
    own = name if project == PROJECT else f"{name}.{project}.{_PROJECT_LABEL}"
    return f"{own}.{DISCOVERY_DOMAIN}"


def far_host(app: str) -> str:
    """The name under which an app is on other machines; theirs are below it, `m2.far.web.…`."""
    return f"{FAR_LABEL}.{app_host(app)}"


def machines_host(app: str) -> str:
    """The name under which it is on this machine, as a peer that takes nothing: what it would take
    is passed to its instances without another nginx.
    """
    return f"{MACHINES_LABEL}.{app_host(app)}"


def streams_host(app: str) -> str:
    """The name under which it is on all machines, for bodies that cannot be sent twice: this one
    is a peer as the others are.
    """
    return f"{STREAMS_LABEL}.{app_host(app)}"


def far_label(app: str) -> str:
    """The same as a word that can be a file's name, and is no `label_of` any app."""
    return f"{label_of(app)}++{FAR_LABEL}"


def streams_label(app: str) -> str:
    """As `far_label`, of those that take streams."""
    return f"{label_of(app)}++{STREAMS_LABEL}"


def wait_host(app: str) -> str:
    """A name below it, `1795904395.wait.web.portico.internal`, is answered when the app has an
    endpoint.
    """
    return f"{WAIT_LABEL}.{app_host(app)}"


def hold_label(site: str) -> str:
    """Of a site whose requests are held, among the names of discovery."""
    return hashlib.sha256(site.encode()).hexdigest()[:12]


def hold_host(site: str) -> str:
    """A name below it is answered when requests of the site are not held any more."""
    return f"{hold_label(site)}.{HELD_LABEL}.{DISCOVERY_DOMAIN}"


def app_of_host(labels: list[str]) -> tuple[list[str], str]:
    """The labels below DISCOVERY_DOMAIN: those in front of an app's, and the app."""
    match labels:
        case [*front, name, project, label] if label == _PROJECT_LABEL:
            return front, qualified_name(project, name)
        case [*front, name]:
            return front, name
        case _:
            return [], ""
