from __future__ import annotations

from portico.core.model.site import Folder, Site
from portico.core.render.directive import to_text
from portico.core.render.scope import Scope
from portico.core.render.static import hidden_map, static_files


def lines(folder: Folder, below: str = "") -> list[str]:
    text = to_text(static_files(Scope("a.test", Site(), "/srv"), folder, below))
    return text.splitlines()[3:]


def test_a_folder_is_looked_up_from_the_root_or_stands_for_a_path():
    assert lines(Folder(path="public")) == ["root /srv/public;", "index index.html;"]
    assert lines(Folder(path="/x/"), "/static/") == ["alias /x/;", "index index.html;"]
    assert lines(Folder(path="/")) == ["root /;", "index index.html;"]
    assert lines(Folder(path="/"), "/static/") == ["alias /;", "index index.html;"]


def test_a_program_in_the_browser_answers_what_is_no_file():
    spa = Folder(path="a", index="main.html", spa=True)
    assert lines(spa)[-1] == "try_files $uri $uri/main.html /main.html =404;"
    # Below an alias, nginx looks a name without variables up from the folder.
    assert lines(spa, "/x/")[-1] == "try_files $uri $uri/main.html main.html =404;"


def test_a_listing_and_how_long_to_keep_files_are_there_on_request():
    folder = Folder(path="a", listing=True, expires=90.0)
    assert lines(folder)[-2:] == ["autoindex on;", "expires 90s;"]


def test_names_that_begin_with_a_dot_are_hidden_but_for_well_known():
    assert r'"~/\.(?!well-known(?:/|$))" 1;' in to_text([hidden_map()])
    first = to_text(static_files(Scope("a", Site()), Folder(path="a"), "")).splitlines()[:3]
    assert first == ["if ($portico_hidden) {", "    return 404;", "}"]
