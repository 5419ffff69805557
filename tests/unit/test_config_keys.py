from __future__ import annotations

import pytest

from portico.core.config.keys import TABLES, hint_for, other_names
from portico.core.config.shapes import Shape, fields_of
from portico.core.model.app import App
from portico.core.model.document import Document
from portico.core.model.edge import Edge, Tls
from portico.core.model.site import Folder, Redirect, Route, Site
from portico.core.model.upstream import Server, Upstream

OWN_LINE = "to use nginx's {}, put its line into a file for {}"


@pytest.mark.parametrize(
    ("table", "key", "right"),
    [
        # slips of the pen, and other ways to write a name
        (App, "instanses", "instances"),
        (App, "maxRestarts", "max_restarts"),
        (App, "max-restarts", "max_restarts"),
        (App, "max_restart", "max_restarts"),
        (Site, "Aliases", "aliases"),
        (Document, "site", "sites"),
        # PM2
        (App, "exec", "script"),
        (App, "node_args", "interpreter_args"),
        (App, "kill_timeout", "stop_timeout"),
        (App, "max_memory_restart", "max_memory"),
        (App, "listen_timeout", "ready_timeout"),
        (App, "out_file", "logs.stdout"),
        (App, "instance_var", "instance_env"),
        # systemd, supervisord, compose
        (App, "WorkingDirectory", "cwd"),
        (App, "ExecStart", "command"),
        (App, "numprocs", "instances"),
        (App, "replicas", "instances"),
        (App, "environment", "env"),
        (App, "depends_on", "after"),
        # nginx
        (Site, "server_name", "aliases"),
        (Site, "proxy_pass", "app"),
        (Site, "ssl_certificate", "certificate"),
        (Site, "ssl_certificate_key", "key"),
        (Site, "root", "folder"),
        (Site, "location", "routes"),
        (Site, "return", "redirect"),
        (Site, "add_header", "headers"),
        (Site, "set_real_ip_from", "real_ip.trust"),
        (Route, "proxy_pass", "app"),
        (Route, "alias", None),
        (Folder, "alias", "path"),
        (Redirect, "url", "to"),
        (Upstream, "server", "servers"),
        (Upstream, "proxy_ssl_name", "tls_name"),
        (Server, "maxconn", "max_conns"),
        (Edge, "listen", "http"),
        (Edge, "worker_processes", "workers"),
        (Tls, "ssl_certificate", "certificate"),
    ],
)
def test_the_right_key_is_guessed(table, key, right):
    assert hint_for(key, table) == (f'did you mean "{right}"?' if right else None)


@pytest.mark.parametrize(
    ("table", "key", "hint"),
    [
        (App, "exec_mode", "set only instances"),
        (App, "ip_hash", 'write balance = "ip_hash"'),
        (App, "server_name", 'a domain is the name of a site: [sites."NAME"]'),
        (Site, "listen", "the ports are http and https in [edge]"),
        (Upstream, "slow_start", "nginx has it only in its commercial build"),
        (Site, "instances", "it is a key of [apps.NAME]"),
        (App, "certificate", 'it is a key of [sites."NAME"]'),
        (Site, "proxy_cache_valid", OWN_LINE.format("proxy_cache_valid", "include")),
        (Route, "sub_filter", OWN_LINE.format("sub_filter", "include of the site")),
        (Edge, "map", OWN_LINE.format("map", "include")),
        (App, "sub_filter", None),
        (App, "zzzz", None),
    ],
)
def test_where_no_key_is_right_it_is_said_why(table, key, hint):
    assert hint_for(key, table) == hint


@pytest.mark.parametrize("table", [Document, *TABLES.values(), Server, Route, Folder, Redirect])
def test_no_hint_leads_to_a_key_that_does_not_exist(table):
    for word, right in other_names(table).items():
        assert word not in table.model_fields, "a key of ours needs no hint"
        if " " not in right:
            assert _leads_to_a_key(table, right.split(".")), right


def _leads_to_a_key(table, keys):
    first, *rest = keys
    shape = fields_of(table).get(first)
    if shape is None or not rest:
        return shape is not None
    inner = [s.table for s in (shape, *shape.branches) if isinstance(s, Shape) and s.table]
    return any(_leads_to_a_key(other, rest) for other in inner)
