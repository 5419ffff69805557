from __future__ import annotations

import json
import re

from portico.core.render.access_log import log_basics
from portico.core.render.directive import to_text
from tests.rendered import nginx_conf, site


def test_a_line_is_one_json_object():
    (form,) = re.findall(r"escape=json '(.*)';", to_text(log_basics()))
    line = json.loads(re.sub(r"\$\w+", "1", form))
    numbers = ("status", "bytes", "bytes_sent", "request_length", "request_time")
    numbers = (*numbers, "connection_requests")
    assert [line.pop(name) for name in numbers] == [1] * 6
    assert set(line.values()) == {"1"}
    assert list(line)[:4] == ["time", "remote_addr", "method", "uri"]


def test_statuses_that_json_cannot_write_are_turned_into_numbers():
    (pattern,) = re.findall(r'"~(.*)" \$1;', to_text(log_basics()))
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
