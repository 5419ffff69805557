from __future__ import annotations

from tests.rendered import block, nginx_conf, site, site_block


def test_a_page_is_open_to_who_is_kept_out_and_to_nobody_else():
    conf = nginx_conf(site('error_pages = {403 = "403.html"}\nallow = ["10.0.0.1"]'))
    assert "error_page 403 /.portico/403;" in site_block(conf)
    assert block(conf, "location = /.portico/403") == [
        "internal;",
        "allow all;",
        "auth_basic off;",
        "types { }",
        "default_type text/html;",
        "add_header Cache-Control no-store always;",
        "root /;",
        "try_files /srv/project/403.html =403;",
    ]


def test_maintenance_closes_every_location_and_no_page():
    conf = nginx_conf(
        site('maintenance = true\nerror_pages = {404 = "a.html"}', '"/x" = {redirect = "/y"}')
    )
    gate = block(conf, "location /x/")[1]
    assert gate.startswith("if ($portico_closed_")
    assert site_block(conf).count(gate) == 3
    assert gate not in block(conf, "location = /.portico/404")
    assert gate not in block(conf, "location = /.portico/maintenance")


def test_maintenance_has_its_own_503():
    conf = nginx_conf(site('maintenance = true\nerror_pages = {503 = "a.html"}'))
    assert "error_page 503 /.portico/maintenance;" in site_block(conf)
    assert "error_page 503 /.portico/503;" not in conf


def test_networks_may_be_let_in_during_maintenance():
    conf = nginx_conf(site('maintenance = {allow = ["10.0.0.0/8", "unix:"]}'))
    (head,) = [line for line in conf.splitlines() if "geo $portico_closed_" in line]
    assert block(conf, head.strip(" {")) == ["default 1;", "10.0.0.0/8 0;"]
    everybody = nginx_conf(site('maintenance = {allow = ["all"]}'))
    assert block(everybody, head.strip(" {")) == ["default 0;"]


def test_who_is_told_to_come_back_is_told_when():
    conf = nginx_conf(site('maintenance = {retry_after = "2m"}\nheaders = {A = "1"}'))
    page = block(conf, "location = /.portico/maintenance")
    assert "add_header Retry-After 120 always;" in page
    assert "add_header A 1 always;" in page  # a level with one header inherits none
