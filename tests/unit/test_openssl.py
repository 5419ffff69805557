from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from portico.core.model.openssl import unsupported_since

NOW = datetime(2026, 11, 28, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("openssl", "since"),
    [
        ("OpenSSL 3.3.7", date(2026, 4, 9)),
        ("OpenSSL 1.1.1w", date(2023, 9, 11)),
        ("OpenSSL 3.6.0", date(2026, 11, 1)),
        ("OpenSSL 3.5.4", None),
        ("OpenSSL 4.0.1", None),  # not known here
        ("LibreSSL 4.1.0", None),
        ("", None),
    ],
)
def test_a_line_of_openssl_is_supported_until_its_day(openssl, since):
    assert unsupported_since(openssl, NOW) == since


def test_the_last_day_of_support_is_one_with_support():
    last = datetime(2026, 4, 9, 23, 59, tzinfo=UTC).timestamp()
    assert unsupported_since("OpenSSL 3.3.7", last) is None
    assert unsupported_since("OpenSSL 3.3.7", last + 60) == date(2026, 4, 9)
