from __future__ import annotations

import re

import pytest

from portico.core.model.site import Folder, Site
from portico.core.render.directive import to_text
from portico.core.render.scope import Scope
from portico.core.render.static import hidden_map, static_files, static_maps, twin_location


def lines(folder: Folder, below: str = "") -> list[str]:
    scope = Scope("a.test", Site(gzip=False), "/srv")
    text = to_text(static_files(scope, folder, below, "/.portico/twin_0"))
    return [line for line in text.splitlines()[3:] if line != "charset utf-8;"]


def test_a_folder_is_looked_up_from_the_root_or_stands_for_a_path():
    assert lines(Folder(path="public")) == ["root /srv/public;", "index index.html;"]
    assert lines(Folder(path="/x/"), "/static/") == ["alias /x/;", "index index.html;"]
    assert lines(Folder(path="/")) == ["root /;", "index index.html;"]
    assert lines(Folder(path="/"), "/static/") == ["alias /;", "index index.html;"]


def test_a_program_in_the_browser_answers_what_is_no_file():
    spa = Folder(path="a", index="main.html", spa=True)
    maps = to_text(static_maps([Scope("a.test", Site(folder=spa), "/srv")]))
    # Below an alias, nginx looks the name up from the folder.
    for below, first in (("", "/main.html"), ("/x/", "main.html")):
        [variable] = re.findall(
            r"try_files \$uri \$uri/main.html (\S+) =404;", lines(spa, below)[-1]
        )
        assert f"map $uri {variable} {{\n    default {first};\n" in maps


def test_a_listing_and_pages_without_their_ending_are_there_on_request():
    assert lines(Folder(path="a", listing=True))[-1] == "autoindex on;"
    assert lines(Folder(path="a", clean_urls=True))[-1] == "try_files $uri $uri.html $uri/ =404;"


@pytest.mark.parametrize(("keys", "is_served"), [({}, True), ({"gzip": False}, False)])
def test_what_was_compressed_before_is_served_so(keys, is_served):
    scope = Scope("a.test", Site(folder="a", **keys))
    text = to_text(static_files(scope, Folder(path="a"), "", "/.portico/twin_0"))
    there = to_text(twin_location(scope, "/.portico/twin_0", ()))
    assert ("rewrite ^ /.portico/twin_0$uri last;" in text) is is_served
    assert bool(there) is is_served


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("/assets/main.8f3a2b1c.js", True),
        ("/assets/main.8f3a2b1c.js.map", True),
        ("/assets/index-BfQ3k2Xz.css", True),
        ("/img/0123456789abcdef0123456789abcdef.png", False),
        ("/img/logo-0123456789abcdef0123456789abcdef.png", True),
        ("/jquery-3.6.0.min.js", False),
        ("/bootstrap-responsive.css", False),
        ("/report-20240101.pdf", False),
        ("/photo-holiday2024.jpg", False),
        ("/app.js", False),
    ],
)
def test_a_name_with_a_hash_is_that_of_a_bundler(name, is_kept):
    text = to_text(static_maps([Scope("a.test", Site(folder=Folder(path="a", expires=60)))]))
    [pattern] = re.findall(r'"~(\[.*)" "public, max-age=31536000, immutable";', text)
    assert bool(re.search(pattern, name)) is is_kept


def test_names_that_begin_with_a_dot_are_hidden_but_for_well_known():
    own = r"(?>(?:/\.portico/match/[0-9a-f]+(?=/))?)"
    assert rf'"~(?s)^{own}.*/\.(?!well-known(?:/|$))" 1;' in to_text([hidden_map()])
    files = static_files(Scope("a", Site()), Folder(path="a"), "", "/.portico/twin_0")
    assert to_text(files).splitlines()[:3] == ["if ($portico_hidden) {", "    return 404;", "}"]
