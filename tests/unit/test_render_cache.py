from __future__ import annotations

import pytest

from portico.core.render.cache import cache_names, is_purged
from portico.core.render.scope import Scope, scopes
from tests.rendered import block, nginx_conf, rendered, site, wanted


@pytest.mark.parametrize(
    ("key", "wanted", "found"),
    [
        ("/a |||https|h", "/a", True),
        ("/a?x=1 |||https|h", "/a", True),
        ("/a?x=1 |||https|h", "/a?x=1", True),
        ("/a?x=12 |||https|h", "/a?x=1", False),
        ("/a?x=12 |||https|h", "/a?x=1*", True),
        ("/a/b |||https|h", "/a", False),
        ("/a/b |||https|h", "/a*", True),
        ("/b |||https|h", "/a*", False),
        ("/c%20d |login||http|h:1", "/c d", True),
        ("/%61 |||https|h", "/a", True),
        ("/caf%C3%A9 |||https|h", "/café", True),
        ("/b |||https|/a", "/a", False),
        ("/a |||https|h", "*", True),
        ("", "*", False),
    ],
)
def test_a_path_means_what_is_stored_for_it(key, wanted, found):
    assert is_purged(key.encode(), [wanted]) == found
    assert is_purged(key.encode(), ["/other", wanted]) == found


def test_a_purge_of_nothing_removes_nothing():
    assert not is_purged(b"/a |||https|h", [])


def test_a_route_has_a_cache_of_its_own_only_where_it_says_more_than_its_site():
    text = site("cache = true", '"/a" = {gzip = false}\n"/b" = {cache = {min_uses = 2}}')
    conf = nginx_conf(text)
    zones = [line for line in conf.splitlines() if "proxy_cache_path" in line]
    assert len(zones) == 2
    own = [next(x for x in block(conf, f"location /{n}/") if "proxy_cache " in x) for n in "ab"]
    assert own[0] == "proxy_cache cache-app.test;"
    assert own[1].startswith("proxy_cache cache-app.test-")
    desired = wanted(text).sites["app.test"]
    assert len(cache_names(scopes(Scope("app.test", desired)))) == 2


@pytest.mark.parametrize(
    "keys",
    ["", "cache = false", 'grpc = true\n[sites."app.test".routes."/x"]\nfolder = "y"'],
)
def test_a_site_without_a_cache_has_nothing_of_it(keys):
    assert "cache" not in nginx_conf(site(keys)).split("server_name app.test;", 1)[1]


@pytest.mark.parametrize(
    ("keys", "kept"),
    [("", "600s"), ('valid = "1d"', "86400s"), ('valid = "1d"\ninactive = "5m"', "300s")],
)
def test_an_answer_is_kept_for_as_long_as_it_is_valid(keys, kept):
    conf = nginx_conf(site(f'[sites."app.test".cache]\n{keys}'))
    assert f" inactive={kept} " in conf


def test_workers_of_each_user_have_a_folder_of_their_own():
    """What one user's have made is closed to those of another, and nginx answers 500."""
    text = site("cache = true")
    own = rendered(text, root=True, workers="portico-nginx")["nginx.conf"]
    assert "/nginx/cache/app.test@portico-nginx levels" in own
    other = rendered(text + '[edge]\nuser = "www-data"\n', root=True)["nginx.conf"]
    assert "/nginx/cache/app.test@www-data levels" in other
