from __future__ import annotations

import pytest

from portico.core.model.desired import Desired
from portico.core.model.site import Site
from portico.core.render.generation import render_generation
from portico.core.render.route_locations import Match
from portico.errors import Refused
from tests.rendered import block, nginx_conf, place_for, site, site_block


def heads(text: str) -> list[str]:
    """The locations of the site that requests come to."""
    lines = (line for line in site_block(nginx_conf(text)) if line.startswith("location"))
    found = (line.removeprefix("location ").removesuffix(" {") for line in lines)
    return [
        head for head in found if "@" not in head and "/.portico" not in head and head != "~ ^"
    ]


@pytest.mark.parametrize(
    ("key", "modifier", "path"),
    [
        ("/a", "", "/a"),
        ("= /a", "=", "/a"),
        ("=/a", "=", "/a"),
        ("^~ /a", "^~", "/a"),
        ("~ \\.php$", "~", "\\.php$"),
        ("~* a b", "~*", "a b"),
    ],
)
def test_a_route_is_written_as_nginx_writes_it(key, modifier, path):
    assert Match.parse(key) == Match(modifier, path)


@pytest.mark.parametrize("key", ["", "a", "@again_0", "= a", "^~ a", "~", "~ ", "=", "if /a"])
def test_what_is_no_path_is_refused(key):
    with pytest.raises(Refused, match="cannot render a location"):
        Match.parse(key)


def test_a_route_that_cannot_be_written_is_told_with_its_site():
    desired = Desired(sites={"app.test": Site(redirect="/a", routes={"x": "web"})})
    with pytest.raises(Refused, match=r'^sites\."app\.test": cannot render a location'):
        render_generation(desired, place_for(desired))


def test_the_site_itself_is_the_location_of_all_else():
    assert heads(site()) == ["/"]
    assert heads('[sites."a.test".routes."/"]\nredirect = "https://b.test"\n') == ["/"]


@pytest.mark.parametrize(
    "route", ['"web"', "{folder = 'x'}", "{redirect = '/b'}", "{gzip = false}"]
)
def test_a_path_takes_what_is_below_it_and_no_longer_name(route):
    assert heads(site(routes=f'"/a" = {route}')) == ["/", "/a/", "= /a"]
    assert heads(site(routes=f'"/a/" = {route}')) == ["/", "/a/"]
    assert heads(site(routes=f'"^~ /a" = {route}')) == ["/", "^~ /a/", "= /a"]
    assert heads(site(routes=f'"= /a" = {route}')) == ["/", "= /a"]
    assert heads(site(routes=f'"~ /a" = {route}')) == ["/", "~ /a"]


def test_a_prefix_that_is_taken_off_ends_with_a_slash():
    assert heads(site(routes='"/api" = {strip_prefix = true}')) == ["/", "/api/", "= /api"]
    assert heads(site(routes='"/api/" = {strip_prefix = true}')) == ["/", "/api/"]
    assert heads(site(routes='"^~ /a" = {folder = "x"}')) == ["/", "^~ /a/", "= /a"]
    assert heads(site(routes='"= /a" = {folder = "x"}')) == ["/", "= /a"]
    assert heads(site(routes='"~ /a" = {folder = "x"}')) == ["/", "~ /a"]


def test_what_the_operator_wrote_goes_before_what_follows_from_it():
    routes = '"/a" = {folder = "x"}\n"= /a" = "web"\n"/a/" = {folder = "y"}'
    assert heads(site(routes=routes)) == ["/", "= /a", "/a/"]
    assert "alias /srv/project/y/;" in nginx_conf(site(routes=routes))


def test_a_site_with_routes_alone_has_nothing_elsewhere():
    conf = nginx_conf('[sites."a.test".routes."/a"]\nredirect = "https://b.test"\n')
    assert "return 404;" in site_block(conf)


def test_a_redirect_keeps_path_and_query_when_asked_to():
    keep = '[sites."a.test"]\nredirect = {to = "https://b.test/", keep_path = true, status = 301}'
    assert 'return 301 "https://b.test$request_uri";' in nginx_conf(keep)
    assert "return 308 https://b.test/x;" in nginx_conf(
        '[sites."a.test"]\nredirect = "https://b.test/x"'
    )


def test_who_may_come_in_is_looked_at_before_a_redirect():
    conf = nginx_conf('[sites."a.test"]\nredirect = "https://b.test"\nallow = ["10.0.0.1"]')
    assert "try_files /.portico @redirect_0;" in site_block(conf)
    assert block(conf, "location @redirect_0") == ["return 308 https://b.test;"]
