from __future__ import annotations

from portico.core.render.directive import to_text
from portico.core.render.passing import passing_basics, stripped
from tests.rendered import APP, block, nginx_conf, site


def test_an_app_gives_a_second_chance_to_what_may_be_repeated():
    conf = nginx_conf(site())
    assert "error_page 502 = @again_0;" in conf
    assert block(conf, "location @again_0") == [
        "if ($portico_once) {",
        "return 502;",
        "}",
        "proxy_pass http://web;",
    ]


def test_what_may_be_repeated_has_a_safe_method_and_no_body():
    head = 'map "$request_method:$content_length:$http_transfer_encoding" $portico_once'
    assert block(to_text(passing_basics()), head) == [
        "default 1;",
        '"~^(GET|HEAD|OPTIONS):0?:$" "";',
    ]


def test_a_post_that_was_sent_is_never_repeated():
    conf = nginx_conf(site())
    assert "proxy_next_upstream error timeout;" in conf
    assert "non_idempotent" not in conf
    assert "proxy_next_upstream_tries 3;" in conf
    assert "proxy_next_upstream_timeout 10s;" in conf


def test_grpc_and_servers_elsewhere_have_no_second_chance():
    """Every call of gRPC is a POST, and the list of other servers stays as it is."""
    text = f"""
    {APP}
    [upstreams.old]
    servers = ["10.0.0.1:80"]
    [sites."app.test"]
    upstream = "old"
    routes = {{"/g" = {{app = "web", grpc = true}}}}
    """
    conf = nginx_conf(text)
    assert "@again" not in conf
    assert "grpc_pass grpc://web;" in conf


def test_the_named_location_repeats_what_its_route_says():
    conf = nginx_conf(site(routes='"/x" = {proxy_read_timeout = 5, headers = {A = "1"}}'))
    repeated = block(conf, "location @again_1")
    assert {"proxy_read_timeout 5s;", "add_header A 1 always;"} < set(repeated)


def test_an_operators_pages_are_kept_beside_the_second_chance():
    conf = nginx_conf(
        site('error_pages = {404 = "a.html", 502 = "b.html"}', '"/x" = {gzip=false}')
    )
    lines = block(conf, "location /x")
    assert [line for line in lines if "error_page" in line] == [
        "error_page 502 = @again_1;",
        "error_page 404 /.portico/404;",
        "recursive_error_pages on;",
    ]


def test_a_prefix_is_taken_off_whatever_characters_it_has():
    assert to_text(stripped("/a.b+c d/")) == (
        'rewrite "(?s)^/a\\\\.b\\\\+c\\\\ d(?:/(.*))?$" /$1 break;\n'
    )


def test_the_certificate_of_a_server_elsewhere_is_verified_for_its_name():
    def tls(keys: str) -> list[str]:
        text = (
            f'[upstreams.old]\ntls = true\n{keys}\n[sites."app.test".routes."/x"]\nupstream="old"'
        )
        return [line for line in block(nginx_conf(text), "location /x") if "_ssl_" in line]

    assert tls('servers = ["a.test:443"]') == [
        "proxy_ssl_server_name on;",
        "proxy_ssl_name a.test;",
        "proxy_ssl_verify on;",
        "proxy_ssl_verify_depth 5;",
        "proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;",
    ]
    own = tls('servers = ["10.0.0.1:443"]\ntls_name = "b.test"\ntls_ca = "ca.pem"')
    assert "proxy_ssl_name b.test;" in own
    assert "proxy_ssl_trusted_certificate /srv/project/ca.pem;" in own
    trusting = tls('servers = ["a.test:443"]\ntls_verify = false')
    assert "proxy_ssl_verify on;" not in trusting
