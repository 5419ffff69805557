from __future__ import annotations

import pytest

from tests.unit.test_importers_pm2 import one, problems


def watched(**attributes):
    table, notes = one(**({"watch": True} | attributes))
    keys = ("watch", "ignore_watch", "watch_delay")
    return {key: table[key] for key in keys if key in table}, notes


def test_watching_leaves_out_what_is_hidden_as_pm2_does():
    assert watched() == ({"watch": True, "ignore_watch": [".*"]}, ())


def test_watching_takes_over_paths_patterns_and_delay():
    keys, notes = watched(
        watch=["server", "client"], ignore_watch=["node_modules", "client/img"], watch_delay=1000
    )
    assert keys == {
        "watch": ["server", "client"],
        "ignore_watch": ["./node_modules", "client/img"],
        "watch_delay": 1.0,
    }
    assert notes == ()


@pytest.mark.parametrize("off", [False, "false", None, []])
def test_what_is_not_watched_has_no_keys(off):
    assert watched(watch=off, ignore_watch=["a"], watch_options={"usePolling": True}) == ({}, ())


@pytest.mark.parametrize(
    ("ignored", "patterns"),
    [
        ("public", ["./public"]),
        ("*.log", ["./*.log"]),
        ("**/*.log", ["**/*.log"]),
        ("/srv/data", ["/srv/data"]),
        (r"\.git", ["./.git"]),
        ("[\\/\\\\]\\./", [".*"]),
        ("/node_modules/", ["node_modules"]),
        ([], []),
    ],
)
def test_patterns_mean_what_they_did(ignored, patterns):
    keys, notes = watched(ignore_watch=ignored)
    assert keys.get("ignore_watch", []) == patterns
    assert notes == ()


def test_what_is_no_pattern_of_ours_is_told_by_name():
    keys, notes = watched(ignore_watch=["a", r"/\.(git|svn)/", "*.{js,map}"])
    assert keys["ignore_watch"] == ["./a"]
    assert [note.split(" is ignored")[0] for note in notes] == [
        r"index.js: ignore_watch /\.(git|svn)/",
        "index.js: ignore_watch *.{js,map}",
    ]


def test_of_a_pattern_to_watch_its_folder_is_watched():
    keys, notes = watched(watch=["src/**/*.js", "*.json"])
    assert keys["watch"] == ["src", "."]
    assert notes[0] == "index.js: watch src/**/*.js: all of src is watched"


def test_options_are_told_by_name_where_they_matter():
    keys, notes = watched(
        ignore_watch=["b"],
        watch_options={
            "ignored": ["a"],
            "persistent": True,
            "followSymlinks": True,
            "atomic": True,
            "usePolling": True,
            "awaitWriteFinish": {"stabilityThreshold": 500},
            "depth": 2,
        },
    )
    assert keys["ignore_watch"] == ["./a"]
    assert notes == (
        "index.js: watch_options.followSymlinks is not supported: use the target of a link",
        "index.js: watch_options.usePolling is not needed: the kernel reports changes",
        (
            "index.js: watch_options.awaitWriteFinish is not needed: "
            "watch_delay counts from the last change"
        ),
        "index.js: watch_options.depth is not supported",
    )


def test_what_runs_at_its_times_is_not_watched():
    keys, notes = watched(cron_restart="@daily", autorestart=False)
    assert keys == {}
    assert "index.js: watch is not needed: each run starts the current program" in notes


def test_a_wrong_value_is_a_problem_of_the_file():
    (problem,) = problems({"apps": [{"script": "index.js", "watch": True, "watch_delay": "soon"}]})
    assert problem.startswith("apps[0].watch_delay: must be a number of milliseconds")
