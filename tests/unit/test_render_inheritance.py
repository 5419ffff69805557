from __future__ import annotations

import os

import pytest

from portico.adapters.nginx.include_reader import read_included
from portico.core.render.inheritance import Loss, losses
from portico.core.render.scope import Scope
from tests.rendered import site, wanted

UPSTREAMS = {"web"}
OURS = "access_log = true\nhsts = true\nallow = ['10.0.0.1']\nrate_limit = '1r/s'\n"


def lost(tmp_path, text: str, keys: str = "", *, in_http: bool = False) -> list[Loss]:
    file = tmp_path / "own.conf"
    file.write_text(text)
    scope = Scope("app.test", wanted(site(keys)).sites["app.test"])
    return list(losses(read_included(str(file)), None if in_http else scope, UPSTREAMS))


@pytest.mark.parametrize("in_http", [False, True])
def test_a_header_beside_ours_takes_nothing_away(tmp_path, in_http):
    assert lost(tmp_path, "proxy_set_header X-Own 1; add_header A 1;", OURS, in_http=in_http) == []


@pytest.mark.parametrize("in_http", [False, True])
def test_a_header_that_portico_sets_too_is_refused(tmp_path, in_http):
    (loss,) = lost(tmp_path, "proxy_set_header x-forwarded-for $remote_addr;", in_http=in_http)
    assert loss.misleads
    assert loss.what == ("sets x-forwarded-for, which Portico also sets, so apps get both")
    assert "request_headers" in loss.hint


@pytest.mark.parametrize(
    "text",
    [
        "location /x {\n proxy_set_header A 1;\n proxy_pass http://web;\n}",
        "location /x {\n proxy_set_header A 1;\n location /x/y { proxy_pass http://web/a; } }",
        "location /x {\n proxy_set_header A 1;\n if ($a) { proxy_pass http://web$b; } }",
        "location /x {\n grpc_pass grpc://web; }",
    ],
)
def test_an_app_that_a_client_could_mislead_is_refused(tmp_path, text):
    found = lost(tmp_path, text)
    assert [loss.misleads for loss in found] in ([True], [True, True])
    assert "a client's own headers would reach the app" in found[0].what


def test_a_program_elsewhere_is_the_operators_matter_and_said(tmp_path):
    (loss,) = lost(tmp_path, "location /x { proxy_pass http://10.0.0.1; proxy_set_header A 1; }")
    assert not loss.misleads
    assert loss.where == f"{tmp_path}/own.conf:1"


def test_what_inherits_ours_is_left_alone(tmp_path):
    assert lost(tmp_path, "location /x { proxy_pass http://web; }") == []
    assert (
        lost(tmp_path, 'location /x { return 200 "proxy_set_header A 1;"; } # add_header A 1;')
        == []
    )


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("add_header A 1;", "add_header"),
        ("allow all;", "allow"),
        ("limit_req zone=a;", "limit_req"),
        ("access_log /dev/null;", "access_log"),
    ],
)
def test_what_a_location_takes_away_from_itself_is_said(tmp_path, line, name):
    (loss,) = lost(tmp_path, f"location /x {{ {line} }}", OURS)
    assert loss.what == f"location /x has {name}, so it does not inherit the site's"
    assert not loss.misleads
    assert lost(tmp_path, f"location /x {{ {line} }}", "access_log = false") == []


@pytest.mark.parametrize(
    "line",
    ["error_page 502 /x;", "proxy_next_upstream error http_502;", "proxy_http_version 1.0;"],
)
def test_what_replaces_ours_is_said_wherever_it_stands(tmp_path, line):
    for text in (line, f"location /x {{ {line} }}"):
        (loss,) = lost(tmp_path, text)
        assert loss.what.startswith(line.split()[0])


def test_files_that_a_file_includes_are_read_in_their_place(tmp_path):
    (tmp_path / "headers.inc").write_text("proxy_set_header A 1;")
    (loss,) = lost(tmp_path, f"location /x {{ include {tmp_path}/*.inc; proxy_pass http://web; }}")
    assert loss.misleads
    assert lost(tmp_path, f"include {tmp_path}/nothing.*;") == []


@pytest.mark.parametrize("name", ["/nowhere/a.conf", "relative.conf", "own.conf"])
def test_a_file_that_cannot_be_read_is_said_and_left_to_nginx(tmp_path, name):
    (loss,) = lost(tmp_path, f"include {name};")
    assert loss.what == f"{name} cannot be checked here, only by nginx"


def test_a_file_that_includes_itself_comes_to_an_end(tmp_path):
    (loss,) = lost(tmp_path, f"include {tmp_path}/own.conf;")
    assert "cannot be checked here" in loss.what


@pytest.mark.parametrize(
    "data", [b"}", b"location {", b'"', b"\xff\xfe\0", b"a" * (2 << 20), b"{" * 5000, b"", b"\\"]
)
def test_bytes_that_are_no_lines_of_nginx_end_nothing(tmp_path, data):
    file = tmp_path / "own.conf"
    file.write_bytes(data)
    list(losses(read_included(str(file)), None, UPSTREAMS))


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "own.conf")
    (line,) = read_included(str(tmp_path / "own.conf"))
    assert line.name == "include"


@pytest.mark.parametrize("in_http", [False, True])
def test_names_of_headers_that_a_program_cannot_tell_apart_are_said(tmp_path, in_http):
    lines = "underscores_in_headers on;\nignore_invalid_headers off;\n"
    found = lost(tmp_path, lines, in_http=in_http)
    assert [loss.misleads for loss in found] == [False, False]
    assert (
        found[0].what
        == "underscores_in_headers on lets clients forge headers such as X_Forwarded_For"
    )
    assert lost(tmp_path, "underscores_in_headers off;\nignore_invalid_headers on;\n") == []
