from __future__ import annotations

from portico.core.model.desired import Listeners
from portico.core.model.site import Site
from portico.core.render.site_urls import site_urls

USUAL, OTHER = Listeners(80, 443, ("*",)), Listeners(8080, 8443, ("127.0.0.1",))


def test_a_site_has_one_url_for_each_of_its_names():
    site = Site(app="web", aliases=("www.a.test", "::1"))
    assert site_urls("a.test", site, OTHER) == (
        "https://a.test:8443/",
        "https://www.a.test:8443/",
        "https://[::1]:8443/",
    )


def test_the_usual_ports_are_not_written():
    assert site_urls("a.test", Site(app="web"), USUAL) == ("https://a.test/",)
    assert site_urls("a.test", Site(app="web", https=False), USUAL) == ("http://a.test/",)
    assert site_urls("a.test", Site(app="web", https=False), OTHER) == ("http://a.test:8080/",)
