"""Which machine a cookie or key leads to, as nginx is given it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from portico.core.model.balancing import Balance
from portico.core.model.cluster import Machine
from portico.core.render.affinity import key_of, server_id
from tests.rendered import IN_CLUSTER, block, rendered, site_block, wanted

MACHINES = "".join(f'[machines.m{n}]\naddress = "10.0.0.{n}"\n' for n in (1, 2, 3))


def conf(app: str = "", site: str = "", on: str = "") -> str:
    text = f'[apps.web]\ncommand = "run"\n{app}\n{on}\n[sites."a.test"]\napp = "web"\n{site}\n'
    return rendered(text + MACHINES, machine=IN_CLUSTER)["nginx.conf"]


@pytest.mark.parametrize(
    ("balance", "key"),
    [
        ("ip_hash", "$portico_network"),
        ("hash $arg_user", "$arg_user"),
        ("hash $host$binary_remote_addr consistent", "$host${remote_addr}"),
        ("hash ${binary_remote_addr}x", "${remote_addr}x"),
        ("hash $binary_remote_address", "$binary_remote_address"),
        ("least_conn", ""),
    ],
)
def test_a_key_is_text(balance, key):
    """An address as octets would end a header in the middle."""
    assert key_of(Balance.parse(balance)) == key


@pytest.mark.parametrize(
    ("key", "crosses"),
    [
        ("192.0.2", True),
        ("/a b?c=ä", True),
        ("x" * 2000, True),
        ("x" * 2001, False),
        ("", False),
        (" a", False),
        ("a ", False),
        ("a\r\nPortico-App: other", False),
        ("a\0", False),
    ],
)
def test_a_key_crosses_where_it_comes_out_of_a_header_as_it_went_in(key, crosses):
    [line] = [each for each in conf("balance = 'ip_hash'").splitlines() if "{0,1998}" in each]
    pattern = line.split('"')[1].removeprefix("~").replace(r"\\", "\\")
    assert bool(re.search(pattern.encode(), key.encode())) is crosses


def test_a_key_chooses_the_machine_and_then_the_instance():
    text = conf("balance = 'hash $arg_user'")
    machines, own = block(text, "upstream web.machine"), block(text, "upstream web")
    assert machines[1] == own[1]
    assert machines[1].startswith("hash $portico_key_")
    far = "server far.web.portico.internal service=http resolve fail_timeout=2s;"
    assert machines[2:4] == [
        far,  # one that is dead is left out after a failure
        "server machines.web.portico.internal service=http resolve max_fails=0;",
    ]
    away = block(conf("balance = 'hash $arg_user'", on="on = ['m2']"), "upstream web.machine")
    assert [line for line in away if line.startswith("server ")] == [far]
    assert block(text, "upstream web.again")[1].startswith("server web.portico.internal ")
    assert "return 420;" in site_block(text)


def test_a_cookie_names_the_machine_before_the_instance():
    text = conf("sticky = { cookie = 'at-home' }")
    assert block(text, "upstream web")[1].startswith("sticky cookie at-home=m1 ")
    bound = block(text, "upstream web.machine")
    assert bound[1].startswith("sticky route $portico_bound_")
    assert bound[2] == (
        "server far.web.portico.internal service=http resolve fail_timeout=2s drain;"
    )
    assert bound[4] == "server 255.255.255.255:1 max_fails=0;"
    assert r'"~(?:^|; *)at-home=([a-z0-9-]+)=" $1;' in text
    assert f"m2 {server_id(Machine(address='10.0.0.2'))};" in text
    assert f"m1 {server_id(Machine(address='10.0.0.1'))};" not in text


@pytest.mark.parametrize(
    "keys", ["sticky = true", "balance = 'hash $arg_user'", "balance = 'ip_hash'"]
)
@pytest.mark.parametrize("on", ["on = ['m1']", "on = ['m2']"])
def test_of_an_app_on_one_machine_there_is_no_choice_but_that_one(keys, on):
    text = conf(keys, on=on)
    assert ("web.machine" in text) is (on == "on = ['m2']")


def test_without_machines_nothing_of_it_is_there():
    text = "[apps.web]\ncommand = 'run'\nsticky = true\n[sites.'a.test']\napp = 'web'\n"
    alone = rendered(text)["nginx.conf"]
    assert "sticky cookie portico httponly" in alone
    assert "portico_bound" not in alone
    assert "420" not in alone


def test_uploads_of_an_app_that_is_here_too_have_other_machines_behind_its_instances():
    text = conf(site="request_buffering = false")
    assert block(text, "upstream web.relayed")[-1].endswith(" max_fails=0 backup;")
    assert "proxy_pass http://web.relayed;" in block(text, "location @stream_0")
    limited = conf("max_conns = 2", site="request_buffering = false")
    assert "web.relayed" not in limited


def test_a_body_that_is_not_kept_has_no_way_back():
    """Come back, it would be sent again without what was read of it."""
    keyed = conf("balance = 'hash $arg_user'", "request_buffering = false")
    bound = conf("sticky = true", "request_buffering = false")
    away = conf(site="request_buffering = false", on="on = ['m2', 'm3']")
    for text, name in ((keyed, "@stream_0"), (bound, "@bound_0"), (away, "@stream_0")):
        lines = block(text, f"location {name}")
        assert 'proxy_set_header Portico-Way "";' in lines
        assert "proxy_set_header Portico-Kind stream;" in lines
        assert "proxy_set_header Portico-App web;" in lines
    assert 'proxy_set_header Portico-Way "@${portico_away_way}_0";' in block(
        keyed, "location @machine_0"
    )


def test_a_stream_whose_machine_is_away_goes_to_one_that_has_the_app():
    here = block(conf("sticky = true", "grpc = true"), "upstream web.streams")
    assert "server 10.0.0.1:8445 max_fails=0;" in here
    away = conf("sticky = true", "grpc = true", on="on = ['m2', 'm3']")
    streams = block(away, "upstream web.streams")
    assert streams[1].startswith("sticky route $portico_bound_")
    assert streams[2] == "server far.web.portico.internal service=http resolve fail_timeout=2s;"
    assert not [line for line in streams if "10.0.0.1" in line]


def test_a_machine_may_be_called_as_a_word_of_nginx():
    text = '[apps.default]\ncommand = "run"\nsticky = true\n[sites."a.test"]\napp = "default"\n'
    machines = MACHINES + '[machines.default]\naddress = "10.0.0.4"\n'
    desired = replace(wanted(text + machines), machine="m1")
    assert desired.other_machines["default"].address == "10.0.0.4"
    written = rendered(text + machines, machine=IN_CLUSTER)["nginx.conf"]
    assert r"\default default;" in written


def test_where_a_machine_is_chosen_a_try_that_fails_uses_no_expired_page():
    """By a key this machine is one where nothing listens, and the try there is an error."""
    for app in ("balance = 'hash $arg_user'", "sticky = true"):
        text = conf(app, "cache = { use_stale = true }")
        assert " error " not in stale_cases(text, "@machine_0")
        assert " timeout " in stale_cases(text, "@machine_0")
        assert " error " in stale_cases(text, "@again_0")
        alone = conf(app, 'cache = { use_stale = ["error"] }')
        assert not stale_cases(alone, "@machine_0")


def stale_cases(text: str, location: str) -> str:
    lines = block(text, f"location {location}")
    return "".join(line for line in lines if line.startswith("proxy_cache_use_stale"))


def test_what_stays_open_has_no_copy():
    mirrored = '[apps.copied]\ncommand = "run"\n'
    text = conf("sticky = true", 'mirror = { app = "copied" }', mirrored)
    assert "mirror /.portico/mirror/0;" in block(text, "location @machine_0")
    assert not [x for x in block(text, "location @machinelive_0") if x.startswith("mirror")]
