from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.desired import absolute
from portico.core.model.site import Route, Site
from portico.core.render.scope import Scope, file_name, scopes


def test_what_a_route_leaves_unset_is_as_in_its_site():
    site = Site(app="web", gzip=False, buffering=False)
    route = Scope("a.test", site, "/", "/x", Route(gzip=True))
    assert route.value(lambda handling: handling.gzip) is True
    assert route.value(lambda handling: handling.buffering) is False
    assert route.value(lambda handling: handling.grpc) is None


def test_where_a_value_was_written_is_known():
    site = Site(app="web", gzip=False)
    route = Scope("a.test", site, "/", "/x", Route(buffering=True))
    assert route.origin(lambda handling: handling.buffering) is route
    assert route.origin(lambda handling: handling.gzip) == Scope("a.test", site)


def test_a_route_that_says_nothing_of_where_to_go_is_served_as_its_site():
    site = Site(app="web", routes={"/a": Route(gzip=True), "/b": "api", "/c": Route(folder="x")})
    _, a, b, c = scopes(Scope("a.test", site))
    assert a.target is site
    assert b.target.app == "api"
    assert c.target.folder == "x"


names = st.from_regex(
    r"(\*\.)?[a-z0-9]{1,5}(-[a-z0-9])?(\.[a-z]{1,3})?|[0-9a-f:]{2,9}", fullmatch=True
)
places = st.tuples(names, st.sampled_from(["", "/", "/a", "= /a", "~ a$"]))


@given(places, places)
def test_no_two_places_share_a_name_for_files_and_zones(one, other):
    first, second = (Scope(name, Site(), "/", key).slug for name, key in (one, other))
    assert (first == second) == (one == other)
    assert "*" not in first
    assert ":" not in first


def test_a_name_is_cut_where_no_file_could_have_it():
    long, longer = "a" * 240, "a" * 241
    assert file_name("a.test") == "a.test"
    assert len(file_name(long)) < 240
    assert file_name(long) != file_name(longer)


def test_relative_paths_start_in_the_folder_of_the_file():
    assert absolute("a/b", "/srv/app") == "/srv/app/a/b"
    assert absolute("a", "/") == "/a"
    assert absolute("/etc/a", "/srv/app") == "/etc/a"
