"""What is said of a certificate that Portico does not renew."""

from __future__ import annotations

import pytest

from portico.core.planning.own_pairs import not_renewed
from tests.rendered import wanted

FILE = """
[apps.web]
command = "run"

[sites."own.example.com"]
app = "web"
aliases = ["www.own.example.com"]
certificate = "own.pem"
key = "own.key"

[sites."ours.example.com"]
app = "web"
aliases = ["www.ours.example.com"]

[sites."app.localhost"]
app = "web"

[sites."plain.example.com"]
app = "web"
https = false
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own.example.com", "is served with your own certificate /srv/own.pem, which"),
        ("www.own.example.com", "is served with your own certificate /srv/own.pem, which"),
        ("www.ours.example.com", "is in the certificate ours.example.com"),
        ("app.localhost", "is served with a certificate of the local authority"),
        ("plain.example.com", "has no certificate: its site has https = false"),
    ],
)
def test_a_name_without_a_certificate_to_renew_says_what_it_has(name, said):
    assert not_renewed(wanted(FILE, folder="/srv"), name).startswith(f"{name} {said}")


def test_of_a_name_that_no_site_has_nothing_is_known():
    assert not_renewed(wanted(FILE), "example.com") == ""
