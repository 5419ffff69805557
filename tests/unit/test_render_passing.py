from __future__ import annotations

from portico.core.render.directive import to_text
from portico.core.render.passing import strip_lines
from tests.rendered import block, nginx_conf


def test_a_prefix_is_taken_off_whatever_characters_it_has():
    assert to_text(strip_lines("/a.b+c d/")) == (
        'rewrite "(?s)^/a\\\\.b\\\\+c\\\\ d(?:/(.*))?$" /$1 break;\n'
    )


def test_the_certificate_of_a_server_elsewhere_is_verified_for_its_name():
    def tls(keys: str) -> list[str]:
        text = (
            f'[upstreams.old]\ntls = true\n{keys}\n[sites."app.test".routes."/x"]\nupstream="old"'
        )
        return [line for line in block(nginx_conf(text), "location /x/") if "_ssl_" in line]

    assert tls('servers = ["a.test:443"]') == [
        "proxy_ssl_server_name on;",
        "proxy_ssl_name a.test;",
        "proxy_ssl_verify on;",
        "proxy_ssl_verify_depth 5;",
        "proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;",
    ]
    own = tls('servers = ["10.0.0.1:443"]\ntls_name = "b.test"\ntls_ca = "ca.pem"')
    assert "proxy_ssl_name b.test;" in own
    assert "proxy_ssl_trusted_certificate /srv/project/ca.pem;" in own
    trusting = tls('servers = ["a.test:443"]\ntls_verify = false')
    assert "proxy_ssl_verify on;" not in trusting
