"""Texts that try to leave their argument, and every field of a file that reaches nginx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Field: TypeAlias = Callable[[str], dict[str, object]]
"""From a text to the tables of a file that has it in one field."""

TEXTS: Final = [
    '"',
    "'",
    '"; return 200; #',
    "'; } server { listen 1; #",
    ";",
    "a;b",
    "{",
    "}",
    "a } location / { return 200",
    "#",
    "a #b",
    "\\",
    '\\"',
    "\\\\",
    '\\\\"; }',
    "a b",
    " ",
    "\n",
    "a\nreturn 200;",
    "a\r\nX-Injected: 1",
    "\t",
    "\0",
    "\x1b[0m",
    "\x7f",
    "$",
    "$host",
    "${host}",
    "$1",
    "a$",
    "${",
    "${}",
    "*",
    "~",
    "@",
    "=",
    "%0a",
    "%{x}",
    "Übersicht",
    "\u2028",
    "\u00a0",
    "\ufeff",
    "\U0001f600",
    "\ud800",
    "x" * 5000,
]

FIELDS: Final[dict[str, Field]] = {
    # what is written is what nginx gets
    "header": lambda t: _site(headers={"X-A": f"a{t}b"}),
    "header name": lambda t: _site(headers={f"X-{t}": "a"}),
    "request header": lambda t: _site(request_headers={"X-A": f"a{t}b"}),
    "request header name": lambda t: _site(request_headers={f"X-{t}": "a"}),
    "realm": lambda t: _site(basic_auth={"realm": f"a{t}b", "file": "/f"}),
    "password file": lambda t: _site(basic_auth={"file": f"/a{t}b"}),
    "folder": lambda t: _site(app=None, folder=f"/a{t}b"),
    "index": lambda t: _site(app=None, folder={"path": "/a", "index": f"a{t}b"}),
    "spa": lambda t: _site(app=None, folder={"path": "/a", "index": f"a{t}b", "spa": True}),
    "redirect": lambda t: _site(app=None, redirect=f"/a{t}b"),
    "long redirect": lambda t: _site(
        app=None, redirect={"to": f"https://a{t}b", "keep_path": True}
    ),
    "error page": lambda t: _site(error_pages={"404": f"/a{t}b"}),
    "maintenance page": lambda t: _site(maintenance={"page": f"/a{t}b"}),
    "real ip header": lambda t: _site(real_ip={"trust": ["10.0.0.1"], "header": f"A{t}b"}),
    "route": lambda t: _site(routes={f"/a{t}b": "web"}),
    "exact route": lambda t: _site(routes={f"= /a{t}b": "web"}),
    "folder route": lambda t: _site(routes={f"/a{t}b/": {"folder": "/a"}}),
    "cookie": lambda t: {"apps": {"web": {"command": "a", "sticky": {"cookie": f"a{t}b"}}}},
    "cookie domain": lambda t: {"apps": {"web": {"command": "a", "sticky": {"domain": f"a{t}b"}}}},
    "cookie path": lambda t: {"apps": {"web": {"command": "a", "sticky": {"path": f"/a{t}b"}}}},
    "unix server": lambda t: {"upstreams": {"old": {"servers": [f"unix:/a{t}b"]}}},
    "authority": lambda t: _outside(tls_ca=f"/a{t}b"),
    "tls name": lambda t: _outside(tls_name=f"a{t}b"),
    "worker user": lambda t: {"edge": {"user": f"a{t}b"}},
}
TIDIED: Final[dict[str, Field]] = {
    # fields that are read and written anew; each takes an empty text
    "alias": lambda t: _site(aliases=[f"a{t}b.test"]),
    "real ip": lambda t: _site(real_ip={"trust": [f"10.0.0.1{t}"]}),
    "allow": lambda t: _site(allow=[f"10.0.0.1{t}"]),
    "deny": lambda t: _site(deny=[f"10.0.0.1{t}"]),
    "rate": lambda t: _site(rate_limit=f"1r/s{t}"),
    "hash key": lambda t: {"apps": {"web": {"command": "a", "balance": f"hash $host{t}"}}},
    "server": lambda t: {"upstreams": {"old": {"servers": [f"a{t}b:80"]}}},
}
INCLUDES: Final[dict[str, Field]] = {
    "include": lambda t: _site(include=f"/a{t}b"),
    "http include": lambda t: {"edge": {"include": [f"/a{t}b"]}},
}


def _site(**keys: object) -> dict[str, object]:
    site = {"app": "web"} | keys
    return {
        "apps": {"web": {"command": "a"}},
        "sites": {"app.test": {k: v for k, v in site.items() if v is not None}},
    }


def _outside(**keys: object) -> dict[str, object]:
    return {
        "upstreams": {"old": {"servers": ["10.0.0.1:443"], "tls": True} | keys},
        "sites": {"app.test": {"upstream": "old"}},
    }
