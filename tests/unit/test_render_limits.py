from __future__ import annotations

from tests.rendered import block, nginx_conf, rendered, site, site_block


def test_a_limit_is_counted_in_the_zone_of_the_place_that_set_it():
    conf = nginx_conf(
        site('rate_limit = "10r/s"', '"/a" = {gzip = false}\n"/b" = {rate_limit = "5r/m"}')
    )
    zones = [line.split()[2] for line in conf.splitlines() if "limit_req_zone" in line]
    assert len(zones) == 2
    assert "limit_req zone=rate-address-app.test;" in site_block(conf)
    assert not [line for line in block(conf, "location /a/") if "limit_req" in line]
    (own,) = [line for line in block(conf, "location /b/") if line.startswith("limit_req ")]
    assert own.startswith("limit_req zone=rate-address-app.test-")


def test_what_a_zone_counts_by_is_in_its_name():
    """A zone keeps its state over a reload, and nginx refuses to change its key."""
    for per, key in (("address", "$binary_remote_addr"), ("site", "$server_name")):
        conf = nginx_conf(
            site(
                f'rate_limit = {{rate = "1r/s", per = "{per}"}}\n'
                f'connection_limit = {{connections = 1, per = "{per}"}}'
            )
        )
        assert f"limit_req_zone {key} zone=rate-{per}-app.test:" in conf
        assert f"limit_conn_zone {key} zone=connections-{per}-app.test:" in conf


def test_a_burst_may_pass_at_once():
    conf = nginx_conf(site('rate_limit = {rate = "1r/s", burst = 5, nodelay = true}'))
    assert "limit_req zone=rate-address-app.test burst=5 nodelay;" in conf
    plain = nginx_conf(site('rate_limit = {rate = "1r/s", nodelay = true}'))
    assert "limit_req zone=rate-address-app.test;" in plain  # nothing to delay


def test_networks_that_are_let_in_keep_all_others_out():
    lines = site_block(nginx_conf(site('allow = ["10.0.0.0/8"]\ndeny = ["10.6.6.6"]')))
    start = lines.index("deny 10.6.6.6;")
    assert lines[start : start + 3] == ["deny 10.6.6.6;", "allow 10.0.0.0/8;", "deny all;"]


def test_a_route_that_sets_one_list_keeps_the_other_of_its_site():
    """Otherwise the lines of the site were forgotten, and the route open to everybody."""
    conf = nginx_conf(site('allow = ["10.0.0.0/8"]', '"/x" = {deny = ["10.7.7.7"]}'))
    lines = block(conf, "location /x/")
    assert lines[0] == "set $portico_route /x;"
    assert lines[1:4] == ["deny 10.7.7.7;", "allow 10.0.0.0/8;", "deny all;"]


def test_a_password_file_of_the_operators_is_named_by_its_path():
    text = site('basic_auth = {file = "conf/staff"}', '"/x" = {gzip = false}')
    assert list(rendered(text)) == ["nginx.conf"]
    assert "auth_basic_user_file /srv/project/conf/staff;" in nginx_conf(text)
