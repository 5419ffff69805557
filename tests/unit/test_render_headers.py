from __future__ import annotations

from dataclasses import replace

from tests.rendered import APP, WHEEL, block, nginx_conf, rendered, site, site_block

BARE = replace(WHEEL, can=WHEEL.can - {"request_port"})


def request_headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.rstrip(";").split(" ", 2)[1:] for line in lines if "_set_header " in line)
    return {name: value.strip('"') for name, value in pairs}


def test_an_operators_request_header_takes_the_place_of_ours_whatever_its_case():
    conf = nginx_conf(site('request_headers = {host = "inner.test", X-New = "1"}'))
    headers = request_headers(site_block(conf))
    assert headers["host"] == "inner.test"
    assert "Host" not in headers
    assert headers["X-New"] == "1"
    assert headers["X-Real-IP"] == "$remote_addr"


def test_a_route_adds_its_request_headers_to_those_of_its_site():
    conf = nginx_conf(
        site(
            'request_headers = {A = "1", B = "1"}',
            '"/x" = {request_headers = {b = "2"}}\n"/y" = {websocket = false}',
        )
    )
    x = request_headers(block(conf, "location /x/"))
    assert (x["A"], x["b"], "B" in x) == ("1", "2", False)
    y = request_headers(block(conf, "location /y/"))
    assert (y["A"], y["B"], y["Upgrade"], y["Connection"]) == ("1", "1", "", "")


def test_grpc_has_no_headers_of_http_1():
    headers = request_headers(
        block(nginx_conf(site(routes='"/g" = {grpc = true}')), "location /g/")
    )
    assert "X-Forwarded-For" in headers
    assert not {"Upgrade", "Connection"} & set(headers)


def test_hsts_depends_on_the_connection_where_a_site_has_both():
    both = nginx_conf(site("hsts = true\nredirect_http = false"))
    assert block(both, "map $https $portico_hsts_maxage31536000") == [
        'default "";',
        "on max-age=31536000;",
    ]
    assert "add_header Strict-Transport-Security $portico_hsts_maxage31536000 always;" in both
    alone = nginx_conf(site("hsts = {max_age = 60, preload = true}"))
    assert 'add_header Strict-Transport-Security "max-age=60; preload" always;' in alone
    assert "map $https" not in alone


def test_sites_with_the_same_hsts_share_its_map():
    text = APP + "".join(
        f'[sites."s{n}.test"]\napp = "web"\nhsts = true\nredirect_http = false\n' for n in (1, 2)
    )
    assert nginx_conf(text).count("map $https") == 1


def test_connections_to_an_app_are_closed_for_no_plain_request():
    text = nginx_conf(site())
    assert block(text, "map $portico_upgrade $portico_connection") == [
        "default upgrade;",
        '"" "";',
    ]
    assert '"~*h2c" "";' in block(text, "map $http_upgrade $portico_upgrade")


def test_where_a_client_came_to_is_looked_up_only_where_that_is_another_port():
    plain = block(nginx_conf(site()), 'map "" $portico_server_port')
    assert plain == ["default $server_port;"]
    forwarded = nginx_conf("[edge]\npublic_https = 443\nhttps = 8443\n" + site())
    assert "8443 443;" in block(forwarded, "map $server_port $portico_server_port")


def test_the_port_in_host_is_what_nginx_has_read_or_else_the_end_of_the_header():
    new, old = (rendered(site(), build=build)["nginx.conf"] for build in (WHEEL, BARE))
    assert block(new, 'map "" $portico_port') == ['default "$is_request_port$request_port";']
    assert '"~(:[0-9]+)$" $1;' in block(old, "map $http_host $portico_port")
