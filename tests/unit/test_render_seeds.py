from __future__ import annotations

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.names import InstanceId
from portico.core.model.upstream import Upstream
from portico.core.model.world import Endpoint, FarEndpoint
from portico.core.render.bootstrap_peers import bootstrap_files, bootstrap_includes
from portico.core.render.directive import to_text
from tests.rendered import place_for


def endpoint(slot: int, **keys: object) -> Endpoint:
    return Endpoint(slot, InstanceId(f"web.{slot}.1"), 41000 + slot, **keys)  # type: ignore[arg-type]


def includes(*apps: str, **of_web: object) -> str:
    known = {"web": App(command="run", **of_web), "api": App(command="run")}
    desired = Desired(
        apps={
            name: DesiredApp(name, 1, Spec("1", name, app, "/", {})) for name, app in known.items()
        }
    )
    return to_text(bootstrap_includes("both", Upstream(apps=apps), desired, place_for(desired)))


def test_each_app_begins_with_its_endpoints_and_their_weights():
    files = bootstrap_files({"web": (endpoint(1), endpoint(2, weight=3)), "api": (endpoint(1),)})
    assert files == {
        "web.conf": "server 127.0.0.1:41001 weight=1;\nserver 127.0.0.1:41002 weight=3;\n",
        "api.conf": "server 127.0.0.1:41001 weight=1;\n",
    }


def test_where_keys_are_placed_streams_begin_with_this_machine_too():
    own = FarEndpoint("m1", "10.0.0.1", 8445, 2, is_own=True)
    other = FarEndpoint("m2", "10.0.0.2", 8445)
    assert bootstrap_files({}, {"web": (own, other), "api": (other,)}) == {
        "web++far.conf": "server 10.0.0.2:8445 weight=1;\n",
        "web++streams.conf": "server 10.0.0.1:8445 weight=2;\nserver 10.0.0.2:8445 weight=1;\n",
        "api++far.conf": "server 10.0.0.2:8445 weight=1;\n",
    }


def test_backups_wait_until_discovery_has_said_that_they_are_some():
    assert bootstrap_files({"web": (endpoint(1, backup=True), endpoint(2))}) == {
        "web.conf": "server 127.0.0.1:41002 weight=1;\n"
    }


def test_an_app_without_an_endpoint_has_no_file():
    assert bootstrap_files({"web": (), "api": (endpoint(1, backup=True),)}) == {}


def test_an_upstream_includes_a_pattern_of_the_names_that_its_apps_files_have():
    """The file is there only for moments, and a pattern may match none."""
    assert includes("web") == "include /var/lib/portico/nginx/seeds/web.*;\n"
    assert includes("web", "api").count("include") == 2


def test_beside_other_peers_a_backup_or_a_closed_app_does_not_begin():
    assert includes("web", "api", backup=True) == "include /var/lib/portico/nginx/seeds/api.*;\n"
    assert includes("web", "api", down=True) == "include /var/lib/portico/nginx/seeds/api.*;\n"
    assert includes("web", backup=True).startswith("include")
