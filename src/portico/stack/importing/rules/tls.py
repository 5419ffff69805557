"""HTTPS: Portico follows Mozilla's intermediate profile; certificates are joined later."""

from __future__ import annotations

from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    Part,
    Rules,
    done,
    lost,
    no_equal,
)
from portico.stack.importing.paths import beside_nginx
from portico.stack.importing.values import whole_number

_RETIRED_PROTOCOLS: Final = frozenset({"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"})


def certificate(line: Line, part: Part) -> Outcome:
    if line.args[0].startswith(("data:", "engine:", "store:")) or "$" in line.args[0]:
        return no_equal("a certificate is a file here")
    if part.tls:
        return CARRIED_OUTCOME
    return lost("the server has no port with TLS")


def protocols(line: Line, _: Part) -> Outcome:
    if _RETIRED_PROTOCOLS & {*line.args}:
        return done("Portico serves TLS 1.2 and 1.3; clients that know neither are refused")
    return DONE_OUTCOME


def of_clients(_: Line, part: Part) -> Outcome:
    return part.decide_group("client certificates", lambda: _of_clients(part))


def _of_clients(part: Part) -> Outcome:
    line, verify = part.first("ssl_client_certificate"), part.argument("ssl_verify_client", "off")
    if verify == "off":
        return DONE_OUTCOME
    if line is None or verify not in {"on", "optional"} or part.above:
        return no_equal()
    table: dict[str, object] = {"authority": beside_nginx(line.args[0], line)}
    if verify != "on":
        table["verify"] = verify
    if (depth := whole_number(part.argument("ssl_verify_depth", "1"))) != 1:
        table["depth"] = depth
    if crl := part.first("ssl_crl"):
        table["crl"] = beside_nginx(crl.args[0], crl)
    return part.set("client_certificates", table, line)


RULES: Final[Rules] = {
    "ssl_certificate": certificate,
    "ssl_certificate_key": certificate,
    "ssl_protocols": protocols,
    **dict.fromkeys(
        ("ssl_client_certificate", "ssl_verify_client", "ssl_verify_depth", "ssl_crl"), of_clients
    ),
}
