"""A change of a cluster on its machines, in what once went wrong."""

from __future__ import annotations

from typing import NoReturn

import pytest

from portico.core.config.desired import version_of
from portico.core.model.instance import InstanceState
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.engine.cluster import change_report
from portico.engine.inputs import Inputs
from portico.errors import Refused
from tests.unit.cluster_simulation import TWO_EACH, Cluster
from tests.unit.clustered_machines import WHO, FilePreparation

SHOP = {"request": DownRequest(), "project": "shop"}


def test_a_project_is_ended_on_all_machines_though_a_daemon_is_killed_in_its_turn():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    one = cluster["m1"]
    cluster.do("m1", "down", **SHOP)
    while one.version:
        cluster.run(0.5)
    one.lose_daemon()
    one.begin()
    cluster.run(60.0)
    assert cluster.change.end == "done"
    assert {each.version for each in cluster} == {""}
    cluster.close()


def test_a_project_that_is_ended_again_while_machines_check_is_not_ended_out_of_turn():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    cluster.do("m2", "drain")  # its check waits for the end of that
    first = cluster.do("m1", "down", **SHOP)
    cluster.run(1.0)
    again = cluster.do("m1", "down", **SHOP)
    cluster.run(1.0)
    assert first.result() == ""
    assert "is under way; nothing was changed" in again.result()
    assert {each.version for each in cluster} == {"v1"}
    cluster.run(60.0)
    assert (cluster.change.end, {each.version for each in cluster}) == ("done", {""})
    cluster.close()


def test_a_project_that_is_ended_again_by_name_while_it_drains_is_waited_for():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    one = cluster["m1"]
    for process in one.processes.values():
        process.connections = 1
    asked = one.daemon.asked
    cluster.do("m1", "down", **SHOP)
    while one.version:
        cluster.run(0.5)
    again = cluster.do("m1", "down", **SHOP)
    cluster.run(0.5)
    assert again.result() == ""
    while cluster["m2"].version:
        cluster.run(0.5)
    later = cluster.do("m1", "down", **SHOP)
    other = cluster.do("m1", "down", **{**SHOP, "project": "blog"})
    cluster.run(0.5)
    assert later.result() == ""
    assert "there is no project 'blog'" in other.result()
    assert not cluster.change.end
    cluster.run(60.0)
    downs = [each for each in asked.changes() if each.kind == "down"]
    assert [each.state for each in downs] == ["done"] * 4
    assert any("no longer waiting for open requests" in line for line in downs[0].lines)
    cluster.close()


def test_a_project_of_one_machine_alone_is_not_ended_while_another_one_is_ended_on_all():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    one = cluster["m1"]
    notes = {"blog/notes": {"version": "v1", "port": False, "instances": 1}}
    request = DocumentRequest(
        source="/srv/blog/portico.toml",
        folder="/srv/blog",
        table={"project": "blog", "apps": notes},
    )
    # as from before the machine was in a cluster
    alone = cluster.ask("m1", one.daemon.asked._operations.up(request, WHO))  # noqa: SLF001
    cluster.run(10.0)
    assert alone.result() == ""
    assert one.intent.revisions.keys() == {"default", "blog"}
    cluster.do("m1", "down", **SHOP)
    while one.version:
        cluster.run(0.5)
    here = {"request": DownRequest(), "folder": "/srv/blog"}
    refused = [cluster.do("m1", "down", **each) for each in (here, {**SHOP, "project": "blog"})]
    cluster.run(60.0)
    assert all("is under way; nothing was changed" in each.result() for each in refused)
    assert (cluster.change.end, one.intent.revisions.keys()) == ("done", {"blog"})
    ended = cluster.do("m1", "down", **here)
    cluster.run(60.0)
    assert ended.result() == ""
    assert one.is_idle
    cluster.close()


@pytest.mark.slow
@pytest.mark.parametrize(("when", "minutes"), [("just begun", 10), ("in the middle", 2)])
def test_a_command_ends_where_the_store_is_lost_for_good_and_its_change_continues_later(
    when, minutes, monkeypatch
):
    if minutes < 10:  # all that time takes seconds to simulate
        monkeypatch.setattr(change_report, "STORE_TIMEOUT", 60.0 * minutes)
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    begun = cluster.up("m1")
    while not begun.done() or (when == "in the middle" and cluster["m1"].version == "v1"):
        cluster.run(0.01)
    for each in cluster:
        each.link.is_cut = True
    cluster.put({"any": b"1"})  # else the fake is silent for ever
    cluster.run(60.0 * minutes + 100.0)
    [view] = [each for each in cluster["m1"].daemon.asked.changes() if each.state == "failed"]
    assert any(line.startswith("waiting for the cluster's store: ") for line in view.lines)
    assert f"has not been available for {minutes} minutes" in view.error
    for each in cluster:
        each.link.is_cut = False
    cluster.run(60.0)
    assert cluster.change.end == "done"
    assert {each.version for each in cluster} == {"v2"}
    cluster.close()


class NoFolder(FilePreparation):
    """Of a machine on which no file can come into force."""

    async def check(self, inputs: Inputs) -> NoReturn:
        raise Refused(f"the folder of {inputs.source} does not exist")


def test_a_machine_that_could_not_take_the_file_in_force_does_not_scale_the_one_before():
    cluster = Cluster()
    cluster.up("m1", keys={**TWO_EACH, "on": ("m1",)})
    cluster.run(40.0)
    three = cluster["m3"]
    three.lose_daemon()
    cluster.run(30.0)
    cluster.up("m1", without_absent=True, keys={**TWO_EACH, "on": ("m2",)})
    cluster.run(40.0)
    assert cluster.change.order == ("m2", "m1")  # it is started first where it moves to
    three.preparation = NoFolder
    three.begin()
    cluster.run(30.0)
    assert [each.version for each in cluster] == ["v2", "v2", "v1"]
    before = cluster.change
    three.daemon.preparation.check = three.daemon.preparation.tested_again
    scaled = cluster.do("m3", "scale", "web", 3)
    cluster.run(5.0)
    assert "does not have the file of shop that is in force" in scaled.result()
    assert cluster.change == before
    scaled = cluster.do("m2", "scale", "web", 3)
    cluster.run(5.0)
    assert scaled.result() == ""
    cluster.close()


def releases(cluster: Cluster) -> set[tuple[str, ...]]:
    """To which the links of the instances that run led."""
    targets = [each.records["web"].target for each in cluster]
    for each, target in zip(cluster, targets, strict=True):
        assert {i.spec for i in each.in_state(InstanceState.READY)} == {target.id}
    return {tuple(target.links.values()) for target in targets}


def release(cluster: Cluster, name: str, *, fails_on: str = "") -> None:
    """The link leads there from now on, on all machines, and one of them reloads."""
    links = {"/srv/current": f"/srv/{name}"}
    version = version_of(cluster["m1"].records["web"].target, asked=0, links=links).id
    cluster[fails_on or "m2"].programs.failing_version = version if fails_on else ""
    for each in cluster:
        each.links = links
    reloaded = cluster.do("m1", "reload", "web")
    cluster.run(60.0)
    assert reloaded.result() == ""


def test_a_change_that_fails_returns_to_the_release_that_machines_reloaded_by_themselves():
    cluster = Cluster()
    for each in cluster:
        each.links = {"/srv/current": "/srv/one"}
    cluster.up("m1")
    cluster.run(40.0)
    for each in cluster:
        each.links = {"/srv/current": "/srv/two"}
        cluster.do(each.name, "reload", "web", here="1")
    cluster.run(40.0)
    assert releases(cluster) == {("/srv/two",)}
    release(cluster, "three", fails_on="m2")
    assert cluster.change.end == "failed"
    assert releases(cluster) == {("/srv/two",)}
    cluster.close()


def test_a_reload_to_another_release_runs_before_it_what_it_comes_after_there():
    cluster = Cluster()
    for each in cluster:
        each.links = {"/srv/current": "/srv/one"}
    migrate = {"version": "once", "port": False, "autorestart": False}
    cluster.up("m1", keys={**TWO_EACH, "after": ("migrate",)}, others={"migrate": migrate})
    cluster.run(40.0)
    release(cluster, "two")
    assert releases(cluster) == {("/srv/two",)}
    for each in cluster:
        links = each.records["migrate"].target.links
        assert links == {"/srv/current": "/srv/two"}
    cluster.close()


def test_a_reload_to_another_release_is_taken_back_where_it_fails_as_is_a_file_after_it():
    cluster = Cluster()
    for each in cluster:
        each.links = {"/srv/current": "/srv/one"}
    cluster.up("m1")
    cluster.run(40.0)
    release(cluster, "two")
    assert releases(cluster) == {("/srv/two",)}
    release(cluster, "three", fails_on="m2")
    assert cluster.change.end == "failed"
    assert releases(cluster) == {("/srv/two",)}
    cluster.up("m1", bad=True)
    cluster.run(60.0)
    assert cluster.change.end == "failed"
    assert releases(cluster) == {("/srv/two",)}
    cluster.close()
