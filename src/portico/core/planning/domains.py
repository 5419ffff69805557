"""The registered domain of a name, by which authorities count.

The full list of public suffixes has ten thousand lines and changes every week; here are those of
two labels that most registrations are under. What is not here counts by its last two labels, so
that names are rather counted together than apart: an order may then be refused here that an
authority would take, never the other way round.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from portico.core.model.names import is_ip

# publicsuffix.org, the section ICANN DOMAINS: registries that register at the third level
_THIRD_LEVEL: Final = {
    "ar": "com edu gob net org tur",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "br": "adv app art blog com dev eco edu emp eng gov ind inf jus leg net org pro tur tv wiki",
    "cn": "ac com edu gov net org",
    "co": "com edu gov net nom org",
    "cy": "ac com gov net org",
    "ec": "com edu fin gob info net org",
    "eg": "com edu gov net org",
    "es": "com edu gob nom org",
    "gr": "com edu gov net org",
    "hk": "com edu gov idv net org",
    "hu": "co org",
    "id": "ac biz co desa go my net or sch web",
    "il": "ac co gov k12 muni net org",
    "in": "ac co edu firm gen gov ind net nic org res",
    "it": "edu gov",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go info me mobi ne or sc",
    "kr": "ac co go kg mil ms ne or pe re sc",
    "mx": "com edu gob net org",
    "my": "com edu gov name net org",
    "ng": "com edu gov name net org sch",
    "nz": "ac co geek gen govt health iwi kiwi maori mil net org school",
    "pe": "com edu gob net nom org",
    "ph": "com edu gov net org",
    "pk": "com edu fam gov net org web",
    "pl": "biz com edu gov info net org",
    "pt": "com edu gov nome org",
    "ro": "com firm info nom org rec store tm www",
    "sa": "com edu gov med net org sch",
    "sg": "com edu gov net org per",
    "th": "ac co go in mi net or",
    "tr": "av bbs bel biz com dr edu gen gov info k12 kep name net org pol tel tv web",
    "tw": "com edu gov idv net org",
    "ua": "com edu gov in net org",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "uy": "com edu gub net org",
    "ve": "co com edu gob info net org web",
    "vn": "ac biz com edu gov info name net org pro",
    "za": "ac co edu gov law net nom org school web",
}
_SUFFIXES: Final = frozenset(
    f"{second}.{top}" for top, seconds in _THIRD_LEVEL.items() for second in seconds.split()
)


def registered_domain(name: str) -> str:
    """`example.co.uk` of `*.shop.example.co.uk`; an IPv4 address is one, and an IPv6 /64."""
    if is_ip(name):
        address = ipaddress.ip_address(name)
        return name if address.version == 4 else str(ipaddress.ip_network((address, 64), False))  # noqa: PLR2004
    labels = name.removeprefix("*.").lower().split(".")
    kept = 3 if ".".join(labels[-2:]) in _SUFFIXES else 2
    return ".".join(labels[-kept:])
