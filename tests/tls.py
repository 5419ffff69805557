"""What a TLS handshake on loopback shows."""

from __future__ import annotations

import socket
import ssl

from cryptography import x509


def served_serial(port: int, name: str, address: str = "127.0.0.1") -> str:
    """Of the certificate that a client gets, who trusts nobody in particular; hexadecimal."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which reads no authorities
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((address, port), 60) as plain,
        tls.wrap_socket(plain, server_hostname=name) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"
