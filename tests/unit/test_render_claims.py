from __future__ import annotations

from portico.core.render.claims import CLAIMS
from tests.rendered import block, nginx_conf, site, site_block

NAMED = {
    *("Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-Scheme"),
    *("X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL", "X-Client-IP", "True-Client-IP"),
    *("CF-Connecting-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Azure-ClientIP"),
    *("X-Original-Host", "X-Host", "X-HTTP-Host-Override", "X-ProxyUser-Ip", "Proxy"),
}
BEHIND = 'real_ip = {trust = ["10.0.0.0/8", "::1"]}'


def test_what_a_client_claims_is_taken_off_for_every_site():
    assert {name.lower() for name in NAMED} <= {name.lower() for name in CLAIMS}
    basics = nginx_conf(site()).split("    upstream web", 1)[0].splitlines()
    for name in CLAIMS:
        assert f'    proxy_set_header {name} "";' in basics


def test_a_method_that_a_program_is_asked_to_take_is_no_claim():
    assert "x-http-method-override" not in {name.lower() for name in CLAIMS}


def test_grpc_is_told_no_more_than_http():
    lines = block(nginx_conf(site(routes='"/g" = {grpc = true}')), "location /g/")
    assert {f'grpc_set_header {name} "";' for name in CLAIMS} < set(lines)


def test_a_proxy_that_is_trusted_is_believed_as_the_peer_of_the_connection():
    conf = nginx_conf(site(BEHIND))
    (peers,) = {line.split()[-1] for line in site_block(conf) if line.startswith("set ")}
    assert block(conf, f"geo $realip_remote_addr {peers.rstrip(';')}") == [
        'default "";',
        "10.0.0.0/8 1;",
        "::1 1;",
    ]
    assert block(conf, "map $portico_trusted $portico_said_forwarded") == [
        'default "";',
        "1 $http_forwarded;",
    ]
    assert "proxy_set_header Forwarded $portico_said_forwarded;" in site_block(conf)


def test_what_portico_knows_itself_holds_where_a_trusted_proxy_says_nothing():
    said = "$portico_trusted|$http_x_forwarded_proto|$http_forwarded"
    lines = block(nginx_conf(site(BEHIND)), f'map "{said}" $portico_said_x_forwarded_proto')
    assert lines[:2] == ["default $scheme;", r'"~^1\|[^|]+\|" $http_x_forwarded_proto;']


def test_all_may_be_trusted():
    conf = nginx_conf(site('real_ip = {trust = ["all", "unix:"]}'))
    (head,) = [line.strip(" {") for line in conf.splitlines() if "geo $realip" in line]
    assert block(conf, head) == ["default 1;"]


def test_a_proxy_that_passes_bytes_on_says_nothing_in_headers():
    conf = nginx_conf(site('real_ip = {trust = ["10.0.0.1"], proxy_protocol = true}'))
    assert "$portico_trusted" not in conf


def test_the_path_that_was_taken_off_follows_what_a_trusted_proxy_took_off():
    routes = '"/api" = {strip_prefix = true}'
    for keys, value in (("", "/api"), (BEHIND, '"${portico_said_x_forwarded_prefix}/api"')):
        lines = block(nginx_conf(site(keys, routes)), "location /api/")
        assert f"proxy_set_header X-Forwarded-Prefix {value};" in lines
