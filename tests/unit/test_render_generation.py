from __future__ import annotations

import time

import pytest

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.site import Site
from portico.core.render.generation import fingerprint, render_generation
from tests.rendered import APP, WHEEL, nginx_conf, place_for, rendered, site, wanted


def test_a_generation_is_one_file_and_the_passwords_it_names():
    assert list(rendered(site())) == ["nginx.conf"]
    text = site(
        'basic_auth = {users = {ann = "$apr1$x"}}',
        '"/a" = {basic_auth = {users = {bob = "$apr1$y"}}}',
    )
    main, site_file, route_file = rendered(text).items()
    assert site_file[0].startswith("htpasswd-app.test-")
    assert rendered(text, secret="another").keys() - rendered(text).keys() != set()
    assert site_file[1] == "ann:$apr1$x\n"
    assert route_file[0].startswith("htpasswd-app.test-")
    assert route_file[1] == "bob:$apr1$y\n"
    for name, _ in (site_file, route_file):
        assert f"auth_basic_user_file {name};" in main[1]


def test_the_same_file_gives_the_same_generation_and_another_file_another():
    one, same, other = (
        fingerprint(rendered(site(keys))) for keys in ("", "", "client_max_body_size = 2048")
    )
    assert one == same != other
    assert len(one) == 16


def test_a_fingerprint_tells_apart_what_belongs_to_which_file():
    parts = [{"a": "b", "c": "d"}, {"a": "bc", "": "d"}, {"ab": "", "c": "d"}, {"a": "b"}, {}]
    assert len({fingerprint(files) for files in parts}) == 5


def test_how_many_instances_an_app_has_is_no_matter_of_files():
    """Otherwise every `portico scale` would be a reload."""
    few, many = (f"{APP}instances = {n}\n" for n in (1, 64))
    assert rendered(few) == rendered(many)


def test_a_file_without_sites_still_gives_nginx_a_server():
    main = nginx_conf(APP)
    assert "listen 127.0.0.1:8080 default_server" in main
    assert "8443" not in main


@pytest.mark.slow
def test_thousands_of_sites_are_rendered_within_two_seconds_and_in_linear_time():
    _seconds_for(40)  # what is done once
    small, large = (_seconds_for(number) for number in (400, 2000))
    assert large < 2  # 0.7 on quiet cores, and half as much again where others share their caches
    # Twice the share of each site would be far from linear; a busy machine is not.
    assert large / small < 2 * 5


def _seconds_for(number: int) -> float:
    """Processor time."""
    web = wanted(APP)
    sites = {f"s{n}.example.com": Site(app="web", aliases=(f"w{n}.test",)) for n in range(number)}
    desired = Desired(web.apps, web.upstreams, sites)
    place = place_for(desired)
    begun = time.process_time()
    files = render_generation(desired, place)
    fingerprint(files)
    return time.process_time() - begun


def test_what_is_only_tuning_is_left_out_where_the_build_cannot_do_it():
    desired = wanted(site())
    place = place_for(desired)
    old = RenderContext(
        WHEEL.__class__("nginx", (1, 27, 4)), place.home, "127.0.0.1:5353", place.certificates
    )
    new = render_generation(desired, place)["nginx.conf"].splitlines()
    plain = render_generation(desired, old)["nginx.conf"].splitlines()
    missing = {line.strip() for line in new} - {line.strip() for line in plain}
    assert missing == {
        "keepalive_min_timeout 2s;",
        "http2 on;",
        "http2_max_concurrent_streams 128;",
        "keepalive 0;",
        'map "" $portico_port {',
        'default "$is_request_port$request_port";',
        "pcre_jit on;",
        "worker_processes 2;",
    }
