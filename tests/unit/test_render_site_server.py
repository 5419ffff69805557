from __future__ import annotations

from portico.core.model.place import CertificateFiles, ExtraCertificate
from tests.rendered import nginx_conf, rendered, site, site_block


def test_a_site_has_its_certificate_and_log():
    lines = site_block(nginx_conf(site()))
    assert "ssl_certificate /var/lib/portico/certificates/app.test.pem;" in lines
    assert "ssl_certificate_key /var/lib/portico/certificates/app.test.key;" in lines
    log = "/var/lib/portico/logs/sites/app.test.access.log"
    assert f"access_log {log} portico_json buffer=32k flush=1s;" in lines


def test_a_plain_site_has_no_certificate():
    lines = site_block(nginx_conf(site("https = false")))
    assert lines[:2] == ["listen 127.0.0.1:8080;", "listen [::1]:8080;"]
    assert not [line for line in lines if "ssl" in line or "497" in line]


def test_the_operators_own_lines_stand_last():
    lines = site_block(nginx_conf(site('include = ["a.conf", "/etc/b.conf"]')))
    assert lines[-2:] == ["include /srv/project/a.conf;", "include /etc/b.conf;"]


def test_a_proxy_in_front_is_believed_by_its_networks():
    lines = site_block(nginx_conf(site('real_ip = {trust = ["10.0.0.0/8", "all"]}')))
    start = lines.index("set_real_ip_from 10.0.0.0/8;")
    assert lines[start + 1 : start + 5] == [
        "set_real_ip_from 0.0.0.0/0;",
        "set_real_ip_from ::/0;",
        "real_ip_header X-Forwarded-For;",
        "real_ip_recursive on;",
    ]


def test_an_operators_page_for_plain_requests_on_https_is_kept():
    lines = site_block(nginx_conf(site('error_pages = {497 = "a.html"}')))
    assert next(line for line in lines if "497" in line) == "error_page 497 /.portico/497;"


def test_names_with_another_certificate_have_a_server_of_their_own_that_answers_alike():
    other = ExtraCertificate(("app.localhost",), (CertificateFiles("/other.pem", "/other.key"),))
    text = site('aliases = ["app.localhost", "www.app.test"]\ndefault = true')
    conf = rendered(text, apart={"app.test": (other,)})["nginx.conf"]
    blocks = [each.splitlines() for each in conf.replace("        ", "").split("server {\n")[-2:]]
    first, second = ([line for line in each if line.strip(" }")] for each in blocks)
    assert "server_name app.test www.app.test;" in first
    assert "server_name app.localhost;" in second
    assert "ssl_certificate /other.pem;" in second
    assert sum("default_server" in line for line in second) == 0
    differ = ("listen", "server_name", "ssl_certificate")
    plain = [[line for line in each if not line.startswith(differ)] for each in (first, second)]
    assert plain[0] == plain[1]
