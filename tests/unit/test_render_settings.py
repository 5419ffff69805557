from __future__ import annotations

from dataclasses import replace

from portico.core.model.site import Route, Site
from portico.core.render.directive import to_text
from portico.core.render.scope import Scope
from portico.core.render.settings import DEFAULTS, difference, settings, timeouts
from tests.rendered import FULL, block, nginx_conf, rendered, site, site_block


def test_a_level_writes_only_what_differs_from_the_level_above():
    assert list(difference(DEFAULTS, DEFAULTS)) == []
    own = settings(Scope("", Site(proxy_read_timeout=300.0, gzip=False)))
    written = to_text(difference(own, DEFAULTS)).splitlines()
    assert written == ["gzip off;", "proxy_read_timeout 300s;"]


def test_what_nginx_inherits_only_as_a_whole_is_repeated_as_a_whole():
    conf = nginx_conf(site('headers = {A = "1"}', '"/x" = {headers = {B = "2"}}'))
    headers = [line for line in block(conf, "location /x/") if line.startswith("add_header")]
    assert headers == ["add_header A 1 always;", "add_header B 2 always;"]


def test_a_route_may_take_back_what_its_site_says():
    conf = nginx_conf(
        site("buffering = false\ngzip = false", '"/x" = {buffering = true, gzip = true}')
    )
    assert {"proxy_buffering on;", "gzip on;"} < set(block(conf, "location /x/"))


def test_the_defaults_are_those_that_the_keys_promise():
    assert {
        "client_max_body_size 1m;",
        "proxy_connect_timeout 5s;",
        "proxy_read_timeout 60s;",
        "proxy_send_timeout 60s;",
        "gzip on;",
    } < set(to_text(difference(DEFAULTS, {})).splitlines())


def test_no_limit_of_a_body_is_a_size_of_0():
    assert "client_max_body_size 0;" in nginx_conf(site("client_max_body_size = 0"))


def test_a_stream_of_grpc_has_no_limit_but_one_that_was_given():
    conf = nginx_conf(site(routes='"/g" = {grpc = true}'))
    assert "client_max_body_size 0;" in block(conf, "location /g/")
    given = nginx_conf(site('client_max_body_size = "2m"', '"/g" = {grpc = true}'))
    assert not [line for line in block(given, "location /g/") if "body_size" in line]


def test_grpc_has_the_timeouts_of_its_site_under_its_own_names():
    scope = Scope("", Site(proxy_read_timeout=1.5), "/", "/g", Route(proxy_send_timeout=3600.0))
    assert to_text(timeouts(scope, "grpc")).splitlines() == [
        "grpc_connect_timeout 5s;",
        "grpc_read_timeout 1500ms;",
        "grpc_send_timeout 3600s;",
    ]


def test_an_encoder_is_written_only_where_nginx_has_it():
    text = site("brotli = true", '"/x" = {brotli = false}')
    assert "brotli" not in nginx_conf(text)
    conf = rendered(text, build=FULL)["nginx.conf"]
    assert "brotli on;" in site_block(conf)
    assert "brotli off;" in block(conf, "location /x/")


def test_a_file_that_is_compressed_already_is_not_compressed_again_and_says_so_once():
    text = site("gzip = false", '"/x" = {gzip = true, brotli = true, folder = "public"}')
    conf = rendered(text, build=FULL)["nginx.conf"]
    assert "gzip on;" in block(conf, "location /x/")
    (twin,) = conf.split("location ~ ^ {")[1:]
    lines = twin.split("}")[0].splitlines()
    switches = [line.strip() for line in lines if line.split()[:1] in (["gzip"], ["brotli"])]
    assert switches == ["brotli off;"]  # and gzip as above it


def test_a_module_is_loaded_only_where_the_file_needs_it():
    file = "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so"
    build = replace(FULL, modules={"brotli": file, "stream": "/x.so"})
    assert "load_module" not in rendered(site(), build=build)["nginx.conf"]
    conf = rendered(site(routes='"/x" = {brotli = true}'), build=build)["nginx.conf"]
    assert conf.startswith(f"load_module {file};\n")
    assert conf.count("load_module") == 1
