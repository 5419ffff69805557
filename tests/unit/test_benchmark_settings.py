"""bench/settings.py changes what Portico renders."""

from __future__ import annotations

from bench.settings import SITE, VARIANTS, changed
from tests.rendered import nginx_conf


def test_what_is_measured_on_and_off_is_in_the_file():
    conf = nginx_conf(SITE)
    for variant in VARIANTS:
        assert (changed(conf, variant) == conf) is (not variant.changes), variant.name
