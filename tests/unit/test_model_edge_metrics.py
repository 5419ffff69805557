from __future__ import annotations

import pytest

from portico.core.model.edge import parse_socket


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:9464", "127.0.0.1:9464"),
        ("[::1]:09464", "[::1]:9464"),
        ("0.0.0.0:1", "0.0.0.0:1"),
    ],
)
def test_an_address_with_a_port_is_taken(text, parsed):
    assert parse_socket(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "9464", ":9464", "localhost:9464", "127.0.0.1:0", "127.0.0.1:65536", "1.2.3.4:-1"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="an IP address with a port"):
        parse_socket(text)
