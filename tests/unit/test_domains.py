from __future__ import annotations

import pytest

from portico.core.planning.domains import registered_domain


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("example.com", "example.com"),
        ("www.example.com", "example.com"),
        ("*.a.b.example.com", "example.com"),
        ("Shop.Example.CO.UK", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("a.b.com.au", "b.com.au"),
        ("x.y.or.jp", "y.or.jp"),
        ("a.example.uk", "example.uk"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
    ],
)
def test_names_are_counted_by_the_domain_that_was_registered(name, domain):
    assert registered_domain(name) == domain


def test_names_under_a_suffix_that_is_not_known_are_counted_together():
    assert registered_domain("a.example.com.xx") == registered_domain("b.other.com.xx") == "com.xx"
