"""The variables of nginx that an operator may put into the key of a hash."""

from __future__ import annotations

import re
from typing import Final

# nginx.org/en/docs/varindex.html, less those that are set only after a peer was chosen
_NGINX_NAMES = """
    args binary_remote_addr connection connection_requests connection_time content_length
    content_type document_root document_uri host hostname http2 https is_args is_request_port
    limit_rate msec nginx_version pid proxy_add_x_forwarded_for proxy_host proxy_port
    proxy_protocol_addr proxy_protocol_port proxy_protocol_server_addr
    proxy_protocol_server_port query_string realip_remote_addr realip_remote_port realpath_root
    remote_addr remote_port remote_user request request_body request_filename request_id
    request_length request_method request_port request_time request_uri scheme server_addr
    server_name server_port server_protocol ssl_alpn_protocol ssl_cipher ssl_ciphers
    ssl_client_cert ssl_client_escaped_cert ssl_client_fingerprint ssl_client_i_dn
    ssl_client_raw_cert ssl_client_s_dn ssl_client_serial ssl_client_v_end
    ssl_client_v_remain ssl_client_v_start ssl_client_verify ssl_curve ssl_curves
    ssl_early_data ssl_protocol ssl_server_name ssl_session_id ssl_session_reused
    tcpinfo_rcv_space tcpinfo_rtt tcpinfo_rttvar tcpinfo_snd_cwnd time_iso8601 time_local
    uid_got uri
"""
NGINX_VARIABLES: Final = frozenset(_NGINX_NAMES.split())
_FAMILIES: Final = re.compile(r"(arg|cookie|http|proxy_protocol_tlv)_.+")


def is_known_variable(name: str) -> bool:
    return name in NGINX_VARIABLES or bool(_FAMILIES.fullmatch(name))
