from __future__ import annotations

from tests.rendered import nginx_conf, site

TWO = """
"/api" = [
  {match = {header = {X-A = "1"}}, app = "web", rate_limit = "1r/s"},
  {match = {header = {X-A = "1"}, query = {b = true}}, app = "web", rate_limit = "2r/s"},
]
"""


def test_routes_of_one_path_share_no_zone_and_no_name():
    conf = nginx_conf(site(routes=TWO))
    zones = [line for line in conf.splitlines() if "limit_req_zone" in line]
    assert len(zones) == len(set(zones)) == 2
    places = [line for line in conf.splitlines() if "location @" in line]
    assert len(places) == len(set(places))


def test_a_condition_that_two_routes_have_is_one_map():
    conf = nginx_conf(site(routes=TWO))
    assert conf.count("map $http_x_a ") == 1
    assert '"~^1."' in conf
    assert '"~^11"' in conf


def test_a_file_without_match_has_nothing_of_it():
    assert "portico_choice" not in nginx_conf(site(routes='"/api" = "web"'))


def test_routes_of_one_path_share_no_answer_of_a_cache():
    conf = nginx_conf(site("cache = true", TWO))
    keys = {line.strip() for line in conf.splitlines() if "proxy_cache_key" in line}
    assert len(keys) == 4  # the two, what is left of the path, and the site
