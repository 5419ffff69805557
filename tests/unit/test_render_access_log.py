from __future__ import annotations

import json
import re

from tests.rendered import block, nginx_conf, site

CACHED = site("cache = true", '"/api" = "web"')


def form_of(text: str) -> dict[str, object]:
    """A line in which every variable was 1."""
    (form,) = re.findall(r"escape=json '(.*)';", nginx_conf(text))
    return json.loads(re.sub(r"\$\w+", "1", form))


def test_a_line_is_one_json_object():
    line = form_of(CACHED)
    numbers = ("status", "bytes", "bytes_sent", "request_length", "request_time")
    numbers = (*numbers, "connection_requests")
    assert [line.pop(name) for name in numbers] == [1] * 6
    assert set(line.values()) == {"1"}
    assert list(line)[:4] == ["time", "remote_addr", "method", "uri"]


def test_what_no_request_has_is_empty_without_asking():
    every, none = form_of(CACHED), form_of(site())
    assert list(every) == list(none)
    assert {name for name in every if every[name] != none[name]} == {
        "route",
        "upstream_cache_status",
    }
    assert none["route"] == none["upstream_cache_status"] == ""


def test_statuses_that_json_cannot_write_are_turned_into_numbers():
    (pattern,) = (
        each[1]
        for line in block(nginx_conf(site()), "map $status $portico_status")
        if (each := re.fullmatch(r'"~(.*)" \$1;', line))
    )
    found = {text: re.fullmatch(pattern, text) for text in ("200", "009", "000", "")}
    assert {text: match and match[1] for text, match in found.items()} == {
        "200": "200",
        "009": "9",
        "000": None,
        "": None,
    }


def test_a_site_may_keep_no_log_and_logs_may_have_the_classic_form():
    assert "sites/app.test" not in nginx_conf(site("access_log = false"))
    classic = nginx_conf('[edge]\naccess_log_format = "combined"\n' + site())
    assert "app.test.access.log combined buffer=32k flush=1s;" in classic
