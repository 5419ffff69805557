"""What other checkers of nginx files find, and which rule here finds it."""

from __future__ import annotations

from typing import Final

GIXY: Final[dict[str, tuple[str, ...]]] = {
    "add_header_content_type": ("content-type-added",),
    "add_header_multiline": ("header-over-lines",),
    "add_header_redefinition": ("headers-to-client-lost",),
    "alias_traversal": ("alias-traversal",),
    "allow_without_deny": ("allow-without-deny",),
    "default_server_flag": ("no-default-server",),
    "error_log_off": ("error-log-off",),
    "filesystem_root_exposure": ("root-of-filesystem",),
    "hash_without_default": ("map-without-default",),
    "host_spoofing": ("host-from-request",),
    "hsts_header": ("hsts-missing", "hsts-short"),
    "http2_misdirected_request": ("misdirected-request",),
    "http_splitting": ("response-splitting",),
    "if_is_evil": ("if-in-location",),
    "invalid_regex": ("capture-that-does-not-exist",),
    "low_keepalive_requests": ("connections-closed-early",),
    "missing_resolver": ("name-resolved-once", "variable-without-resolver"),
    "missing_worker_processes": ("one-worker",),
    "mixed_case_variable": ("variable-in-two-cases",),
    "origins": ("origin-by-pattern",),
    "overlapping_captures": ("rewrite-overflow",),
    "proxy_buffering_off": ("buffering-off-for-all",),
    "proxy_pass_normalized": ("path-joined-wrongly", "path-escaped-twice", "path-in-proxy-pass"),
    "proxy_set_header_redefinition": ("headers-to-program-lost",),
    "quic_bpf_reuseport": ("quic-lost-after-reload",),
    "regex_exact_match": ("pattern-of-one-path",),
    "regex_redos": ("pattern-takes-forever",),
    "resolver_external": ("public-resolver",),
    "return_bypasses_allow_deny": ("return-before-deny",),
    "ssl_ecdh_curve": ("curve-of-newer-openssl",),
    "ssl_stapling_letsencrypt": ("stapling-without-responder",),
    "ssl_stapling_without_resolver": ("stapling-without-resolver",),
    "ssrf": ("request-forgery",),
    "stale_dns_cache": ("name-resolved-once",),
    "status_page_exposed": ("status-page-open",),
    "try_files_is_evil_too": ("files-looked-up-again",),
    "unanchored_regex": ("location-not-anchored",),
    "unnamed_groups": ("rewrite-overflow",),
    "valid_referers": ("referer-may-be-empty",),
    "version_disclosure": ("version-shown", "version-shown-by-default"),
    "weak_ssl_tls": ("retired-tls", "weak-ciphers"),
    "worker_rlimit_nofile_vs_connections": ("fewer-files-than-connections",),
}
"""Plugins of gixy, gixy-ng and gixy-next."""
NGINX_LINT: Final[dict[str, tuple[str, ...]]] = {
    "alias-location-slash-mismatch": ("alias-traversal", "alias-without-slash"),
    "autoindex-enabled": ("listing-of-folders",),
    "client-max-body-size-not-set": ("body-limit-by-default",),
    "deprecated-ssl-protocol": ("retired-tls",),
    "directive-inheritance": ("headers-to-client-lost", "headers-to-program-lost"),
    "gzip-not-enabled": ("answers-not-compressed",),
    "if-is-evil-in-location": ("if-in-location",),
    "listen-http2-deprecated": ("http2-as-parameter",),
    "map-missing-default": ("map-without-default",),
    "map-unnamed-capture": ("map-capture-in-subrequest",),
    "missing-error-log": ("error-log-by-default",),
    "nginx-rift": ("rewrite-overflow",),
    "proxy-keepalive": ("keepalive-without-http-1-1",),
    "proxy-missing-host-header": ("host-not-passed",),
    "proxy-pass-domain": ("name-resolved-once",),
    "proxy-pass-with-uri": ("path-in-proxy-pass",),
    "root-in-location": ("root-in-location",),
    "server-tokens-enabled": ("version-shown", "version-shown-by-default"),
    "ssl-on-deprecated": ("retired-directive",),
    "try-files-with-proxy": ("files-before-program",),
    "unreachable-location": ("location-never-reached",),
    "upstream-server-no-resolve": ("name-resolved-once", "resolve-without-zone"),
    "weak-ssl-ciphers": ("weak-ciphers",),
}
OTHER_TOOLS_TEXT: Final = """\
Not here: what `nginx -t` refuses by itself (braces, quotes, semicolons, unknown or misplaced
directives), layout (indentation, blank lines, length of blocks), and `nginx_cves` of gixy-ng, a
list of versions with known holes, which the distribution's security updates keep better.
"""
