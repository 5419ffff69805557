from __future__ import annotations

from portico.system.names import hosts, nameservers


def test_name_servers_are_written_as_nginx_takes_them(tmp_path):
    """One with a scope would keep nginx from starting."""
    file = tmp_path / "resolv.conf"
    file.write_text(
        "search example.com\n# nameserver 10.0.0.9\nnameserver 10.0.0.1 # first\n"
        "nameserver 2001:db8::1\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n"
    )
    assert nameservers(file) == ("10.0.0.1", "[2001:db8::1]")
    assert nameservers(tmp_path / "missing") == ()


def test_every_name_of_the_hosts_file_is_known(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n10.0.0.1\tDB.lan db # the database\n\n# 10.0.0.2 x\n")
    assert hosts(file) == {"localhost", "db.lan", "db"}
