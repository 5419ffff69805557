from __future__ import annotations

from portico.core.config.patterns import pattern_problem
from portico.core.model.site import Site


def test_a_regex_that_nginx_rejects_is_named_with_its_place():
    sites = {"a.test": Site(folder="x", routes={"~* ^/(?<=a+)b": {"folder": "y"}})}
    message = 'nginx -t: pcre2_compile() failed: not fixed length in "^/(?<=a+)b" at "b"'
    problem = pattern_problem(message, sites)
    assert problem
    assert problem.where == 'sites."a.test".routes."~* ^/(?<=a+)b"'
    assert pattern_problem("nginx -t: something else", sites) is None
