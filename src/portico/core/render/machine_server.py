"""What other machines of the cluster reach: the server for requests that cross, which passes them
to own instances, and for what they ask: what is ready here, and what the daemon reports. And the
way on which the daemon asks theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.cluster import OwnMachine
from portico.core.model.desired import Desired
from portico.core.model.joining import JOIN_PATH, MAX_JOIN_SIZE
from portico.core.model.machine_verbs import REPORTED_PATHS
from portico.core.model.names import label_of, url_host
from portico.core.model.neighbour import (
    join_socket,
    near_list_path,
    neighbours_socket,
    reports_socket,
)
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.render.affinity import cookie_maps, key_maps
from portico.core.render.alpn import BACKLOG
from portico.core.render.crossed_passing import (
    crossed_basics,
    crossed_call,
    crossed_passing,
    crossed_stream,
)
from portico.core.render.crossed_waiting import (
    NEXT_VARIABLE,
    crossed_wait_locations,
    crossed_wait_map,
    crossed_waits,
)
from portico.core.render.directive import (
    Directive,
    Raw,
    directive,
    map_key,
    milliseconds,
    variable_map,
)
from portico.core.render.machines import (
    APP,
    AWAY_WAY,
    CONNECT_TIMEOUT,
    FAR_VARIABLE,
    FAR_WAY,
    KIND,
    MACHINE_WAY,
    MAX_FAR_TRIES,
    MAX_OWN_TRIES,
    NEAR_VARIABLE,
    RECEIVER_KEEPALIVE,
    REPEATED,
    UNSENT_STATUS,
    WAY,
    crossing_cookie,
    crossing_key,
    is_clustered,
    tls_to_machines,
)
from portico.core.render.retries import (
    CODES,
    LIVE_VARIABLE,
    NO_OWN_PEER,
    NO_PEER_AT_ALL,
    NO_PEER_VARIABLE,
    SENT_VARIABLE,
    TIMED_OUT_VARIABLE,
    going_to,
    sent_map,
)
from portico.core.render.scope import INTERNAL_PREFIX

KEEPALIVE_PROBES: Final = "so_keepalive=30s:10s:3"
"""One that died cannot close its connections: they end within a minute (tcp(7))."""
_LAST_UNSENT_PATTERN: Final = rf"~^[^|]*\|[^|]*\|([^|]* )?{UNSENT_STATUS}\|"
_FIRST_UNSENT_PATTERN: Final = (
    rf"[^|]*\|{UNSENT_STATUS}( : 502)*( : 50[24])\|[0-9]+( : 0)+\|[0-9]+ : (0 : )*"
)
_UNSENT_CASES: Final = (
    (rf'"{_LAST_UNSENT_PATTERN}[^|]*\|[^|]*[1-9][^|]* : [^|]*$"', "1"),
    (f'"{_LAST_UNSENT_PATTERN}"', ""),
    # The first came back, and since then one got it, or none.
    (rf'"~^\|{_FIRST_UNSENT_PATTERN}[1-9][0-9]*( : 0)*$"', "1"),
    (rf'"~^[^|]*\|{_FIRST_UNSENT_PATTERN}0$"', ""),
)
"""No instance got it there: whether one had before is in what was sent before."""
_TARGET, _RETRY_TARGET, _OVER, _STRANGER, _UNSENT = (
    f"portico_{name}"
    for name in ("crossed", "crossed_again", "crossed_over", "stranger", "unsent")
)
_JOIN: Final = f"{INTERNAL_PREFIX}/join"
_JOIN_ZONE: Final = "portico_join"
_JOIN_RATE, _JOIN_BURST, _JOIN_TIMEOUT = "1r/s", 5, "30s"
_AGAIN, _END, _STREAM, _CALL = "@again", "@end", "@stream", "@call"
_SILENT_LOCATION: Final = "@silent"
"""Where the daemon does not answer."""
_WAY_BACK: Final = Raw("$http_" + WAY.replace("-", "_").lower())
_REFUSED_LOCATION: Final = "@refused"
"""Of requests of machines that are not let in."""
_BAD_CERTIFICATE: Final = "495"
"""nginx's own code for a certificate that is not valid, which it answers as 400."""
_STREAM_CODE, _CALL_CODE = "418", "419"


def crossing_maps(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    machine = context.machine
    if machine is None or not is_clustered(desired, context):
        return
    for variable, again, live in (
        (FAR_WAY, "far", "farlive"),
        (AWAY_WAY, "again", "live"),
        (MACHINE_WAY, "machine", "machinelive"),
    ):
        yield variable_map(f"${LIVE_VARIABLE}", variable, again, directive('"1"', live))
    yield sent_map(NEAR_VARIABLE, MAX_OWN_TRIES, NO_OWN_PEER, *_UNSENT_CASES)
    yield sent_map(FAR_VARIABLE, MAX_FAR_TRIES, *_UNSENT_CASES)
    every = desired.upstreams.values()
    keys, cookies = (
        tuple(filter(None, (each(upstream, desired, context) for upstream in every)))
        for each in (crossing_key, crossing_cookie)
    )
    yield from key_maps(keys, machine)
    yield from cookie_maps(cookies, desired.other_machines)
    own = {
        label_of(name): upstream
        for name, upstream in desired.upstreams.items()
        if _takes_crossings(upstream, desired)
    }
    yield variable_map(
        f"$http_{_header_variable(APP)}", _TARGET, '""', *(directive(map_key(n), n) for n in own)
    )
    retries = (directive(map_key(n), _retry_target(n, each, desired)) for n, each in own.items())
    yield directive(
        "map",
        Raw(f"$http_{_header_variable(APP)}"),
        Raw(f"${_RETRY_TARGET}"),
        block=(directive("volatile"), directive("default", ""), *retries),
    )
    once, sent, none = r'"~:$"', '"~^:1$"', f'"~:{NO_PEER_AT_ALL}$"'
    cases = (once, ""), (sent, ""), (none, NO_PEER_AT_ALL)
    yield _volatile_map(
        f'"$http_{_header_variable(REPEATED)}:${SENT_VARIABLE}"', _OVER, "1", *cases
    )
    if waits := crossed_waits(desired):
        yield crossed_wait_map(f"$http_{_header_variable(APP)}", _AGAIN, waits, desired)
    yield _volatile_map(
        f'"{_WAY_BACK}|$upstream_bytes_sent|$upstream_bytes_received"',
        _UNSENT,
        '""',
        (r'"~^[^|]+\|[^1-9]*$"', "1"),
    )
    yield _stranger_map(machine, desired)
    if machine.has_store:
        zone = f"zone={_JOIN_ZONE}:1m"
        yield directive("limit_req_zone", Raw("$binary_remote_addr"), zone, f"rate={_JOIN_RATE}")


def _stranger_map(machine: OwnMachine, desired: Desired) -> Directive:
    """By the serial of a certificate, which the authority gives once; one that was replaced is
    refused. Without a store, by the name in it. This machine is none: streams come from it, too.
    """
    source = "$ssl_client_serial" if machine.has_store else "$ssl_client_s_dn"
    known = (directive(each, "") for each in certificate_keys(machine, desired))
    return variable_map(source, _STRANGER, "1", *known)


def certificate_keys(machine: OwnMachine, desired: Desired) -> Iterator[str]:
    """What nginx knows the certificates of the machines by."""
    if machine.has_store:
        serials = (desired.serials.get(name, "") for name in desired.machines)
        yield from map(_nginx_serial, filter(None, serials))
    else:
        yield from map(machine.subject_of, desired.machines)


def _nginx_serial(serial: str) -> str:
    """Whole octets in upper case (i2a_ASN1_INTEGER(3))."""
    return serial.upper().zfill(len(serial) + len(serial) % 2)


def _takes_crossings(upstream: Upstream, desired: Desired) -> bool:
    """Whether other machines may send what it has here."""
    apps = (desired.apps[name].app for name in upstream.apps)
    return not upstream.servers and any(map(desired.is_here, apps))


def _retry_target(label: str, upstream: Upstream, desired: Desired) -> str:
    """As in front: peers with `max_conns` would be counted anew in another upstream."""
    return label if desired.has_max_conns(upstream) else Raw(f"{label}${NO_PEER_VARIABLE}")


def _volatile_map(source: str, variable: str, default: str, *lines: tuple[str, str]) -> Directive:
    block = (
        directive("volatile"),
        directive("default", Raw(default)),
        *(directive(Raw(pattern), value) for pattern, value in lines),
    )
    return directive("map", Raw(source), Raw(f"${variable}"), block=block)


def _header_variable(header: str) -> str:
    return header.replace("-", "_").lower()


def machine_servers(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    """The server for other machines, and the way on which the daemon asks theirs."""
    machine = context.machine
    if machine is not None and is_clustered(desired, context):
        yield directive("server", block=_crossing_server(machine, desired, context))
        yield directive("server", block=_asking_server(machine, desired, context))


def _crossing_server(
    machine: OwnMachine, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    own = desired.machines[desired.machine]
    at = f"{url_host(own.address)}:{own.port}"
    yield directive("listen", at, "ssl", "default_server", BACKLOG, KEEPALIVE_PROBES)
    yield directive("server_name", machine.host)
    yield directive("ssl_certificate", machine.certificate)
    yield directive("ssl_certificate_key", machine.key)
    yield directive("ssl_client_certificate", machine.authority)
    yield directive("ssl_verify_client", "optional" if machine.has_store else "on")
    yield directive("ssl_protocols", "TLSv1.3")
    yield from crossed_basics()
    yield directive("error_page", "403", _BAD_CERTIFICATE, "=", _REFUSED_LOCATION)
    if "keepalive_min_timeout" in context.build.can:
        yield directive("keepalive_min_timeout", RECEIVER_KEEPALIVE)
    yield directive("keepalive_requests", "100000")
    if machine.has_store:
        join = (
            directive("rewrite", Raw(f"^{JOIN_PATH}$"), _JOIN, "last"),
            directive("return", "403"),
        )
        yield directive("if", Raw("($ssl_client_verify = NONE)"), block=join)
    yield directive("if", Raw(f"(${_STRANGER})"), block=(directive("return", "403"),))
    near, report = f"{INTERNAL_PREFIX}/near", f"{INTERNAL_PREFIX}/report"
    question = (
        directive("rewrite", Raw(r"^/near\.json$"), near, "last"),
        directive("rewrite", Raw(f"^({'|'.join(REPORTED_PATHS)})$"), Raw(f"{report}$1"), "last"),
        directive("return", "404"),
    )
    yield directive("if", Raw(f'($http_{_header_variable(APP)} = "")'), block=question)
    file = (
        directive("internal"),
        directive("default_type", "application/json"),
        directive("alias", near_list_path(context.home)),
    )
    yield directive("location", "=", near, block=file)
    yield directive("location", f"{report}/", block=_report(context.home))
    if machine.has_store:
        yield directive("location", "=", _JOIN, block=_joining(context))
    waits = crossed_waits(desired)
    yield directive("location", _REFUSED_LOCATION, block=_refusal())
    yield from _crossed_locations(Raw(f"${NEXT_VARIABLE}") if waits else _AGAIN)
    yield from crossed_wait_locations(waits, desired, context, again=_AGAIN, end=_END, over=_OVER)


def _joining(context: RenderContext) -> Iterator[Directive]:
    """What a machine asks that has no certificate yet; the daemon judges its token."""
    yield directive("internal")
    yield directive("limit_req", f"zone={_JOIN_ZONE}", f"burst={_JOIN_BURST}", "nodelay")
    yield directive("client_max_body_size", str(MAX_JOIN_SIZE))
    yield directive("client_body_timeout", _JOIN_TIMEOUT)
    yield directive("proxy_read_timeout", _JOIN_TIMEOUT)
    yield directive("proxy_pass", f"http://unix:{join_socket(context.home)}:{JOIN_PATH}")


def _report(home: str) -> Iterator[Directive]:
    """Its socket serves verbs that change nothing, and no others."""
    yield directive("internal")
    yield directive("limit_except", "GET", block=(directive("deny", "all"),))
    yield directive("client_max_body_size", "1k")
    yield directive("proxy_connect_timeout", milliseconds(CONNECT_TIMEOUT))
    yield directive("proxy_read_timeout", milliseconds(CONNECT_TIMEOUT))
    yield directive("proxy_max_temp_file_size", "0")
    yield directive("error_page", "502", "504", "=503", _SILENT_LOCATION)
    yield directive("proxy_pass", f"http://unix:{reports_socket(home)}:/")


def _crossed_locations(next_try: str) -> Iterator[Directive]:
    """As in front of a site's own instances; the two codes are of nginx's own making only here.
    `next_try` is where what failed goes.
    """
    over = going_to(_END)
    kind = f"$http_{_header_variable(KIND)}"
    first = (
        directive("error_page", *CODES, "=", next_try),
        directive("error_page", _STREAM_CODE, "=", _STREAM),
        directive("error_page", _CALL_CODE, "=", _CALL),
        directive("recursive_error_pages", "on"),
        directive("if", Raw(f'(${_TARGET} = "")'), block=over),
        directive("if", Raw(f"({kind} = stream)"), block=(directive("return", _STREAM_CODE),)),
        directive("if", Raw(f"({kind} = grpc)"), block=(directive("return", _CALL_CODE),)),
        *crossed_passing(),
        directive("proxy_pass", Raw(f"http://${_TARGET}")),
    )
    again = (
        directive("error_page", *CODES, "=", next_try),
        directive("recursive_error_pages", "on"),
        directive("if", Raw(f"(${_OVER})"), block=over),
        *crossed_passing(),
        directive("proxy_pass", Raw(f"http://${_RETRY_TARGET}")),
    )
    stream = (*crossed_stream(), directive("proxy_pass", Raw(f"http://${_TARGET}")))
    yield directive("location", "/", block=first)
    yield directive("location", _AGAIN, block=again)
    yield directive("location", _STREAM, block=stream)
    call = (*crossed_call(), directive("grpc_pass", Raw(f"grpc://${_TARGET}")))
    yield directive("location", _CALL, block=call)
    yield directive("location", _END, block=_end())
    yield directive("location", _SILENT_LOCATION, block=(directive("return", "503"),))


def _end() -> Iterator[Directive]:
    """What comes back has a way; a stream has none."""
    yield directive("if", Raw(f"(${_UNSENT})"), block=_going_back())
    yield directive("if", Raw(f"(${TIMED_OUT_VARIABLE})"), block=(directive("return", "504"),))
    yield directive("return", "502")


def _refusal() -> Iterator[Directive]:
    """It is not sent to an instance here, and another machine may let it in."""
    yield directive("if", Raw(f"({_WAY_BACK})"), block=_going_back())
    yield directive(
        "if", Raw("($ssl_client_verify ~ ^FAILED)"), block=(directive("return", "400"),)
    )
    yield directive("return", "403")


def _going_back() -> Iterator[Directive]:
    yield directive("add_header", "X-Accel-Redirect", _WAY_BACK, "always")
    yield directive("return", UNSENT_STATUS)


def _asking_server(
    machine: OwnMachine, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    yield directive("listen", f"unix:{neighbours_socket(context.home)}")
    yield directive("error_log", "/dev/null", "emerg")  # the daemon says once what is wrong
    for name, other in desired.other_machines.items():
        at = f"{url_host(other.address)}:{other.port}"
        lines = (
            *tls_to_machines(machine, "proxy", name),
            directive("proxy_connect_timeout", milliseconds(CONNECT_TIMEOUT)),
            directive("proxy_read_timeout", milliseconds(CONNECT_TIMEOUT)),
        )
        near = (*lines, directive("proxy_pass", f"https://{at}/near.json"))
        reports = (
            *lines,
            directive("proxy_max_temp_file_size", "0"),
            directive("proxy_pass", f"https://{at}/v1/"),
        )
        yield directive("location", "=", f"/{name}/near.json", block=near)
        yield directive("location", f"/{name}/v1/", block=reports)
    yield directive("location", "/", block=(directive("return", "404"),))
