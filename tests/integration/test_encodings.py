"""Brotli and Zstandard, with an nginx that has their modules."""

from __future__ import annotations

import json
from collections.abc import Iterator

import brotli
import pytest
import zstandard

from tests.edge import Edge, edge_with_backend
from tests.other_nginx import nginx_with

CODINGS = {"brotli": "br", "zstd": "zstd"}
FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
KEY = true

[sites."app.test".routes]
"/plain" = {KEY = false}
"/files" = {folder = "public"}

[sites."other.test"]
app = "web"
routes."/packed" = {KEY = true, gzip = false}
"""


@pytest.fixture(scope="module", params=CODINGS)
def key(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def edge(key) -> Iterator[Edge]:
    files = {"public/app.js": "x" * 5000, "public/app.js.br": "its twin", "public/a.txt": TEXT}
    with edge_with_backend(FILE.replace("KEY", key), files, nginx_with(key)) as edge:
        yield edge


TEXT = "".join(f"{n} and {n * n}\n" for n in range(100_000))


def unpacked(coding: str, body: bytes) -> bytes:
    if coding == "br":
        return brotli.decompress(body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


def test_a_client_that_accepts_the_coding_gets_it_and_others_gzip(edge, key):
    coding = CODINGS[key]
    packed = edge.get("app.test", "/?size=5000", Accept_Encoding=f"gzip, {coding}")
    assert packed.headers["Content-Encoding"] == coding
    assert packed.headers.get_all("Vary") == ["Accept-Encoding"]
    assert json.loads(unpacked(coding, packed.body))["path"] == "/?size=5000"

    gzipped = edge.get("app.test", "/?size=5000", Accept_Encoding="gzip")
    assert gzipped.headers["Content-Encoding"] == "gzip"
    small = edge.get("app.test", "/", Accept_Encoding=coding)
    assert small.headers["Content-Encoding"] is None


def test_a_route_has_its_own_word(edge, key):
    coding = CODINGS[key]
    for site, path, expected in (
        ("app.test", "/plain?size=5000", None),
        ("other.test", "/?size=5000", None),
        ("other.test", "/packed?size=5000", coding),
    ):
        answer = edge.get(site, path, Accept_Encoding=coding)
        assert answer.headers["Content-Encoding"] == expected, path


def test_a_long_file_is_whole(edge, key):
    coding = CODINGS[key]
    answer = edge.get("app.test", "/files/a.txt", Accept_Encoding=coding)
    assert answer.headers["Content-Encoding"] == coding
    assert unpacked(coding, answer.body) == TEXT.encode()


def test_a_file_that_is_compressed_already_is_served_as_it_is(edge):
    answer = edge.get("app.test", "/files/app.js", Accept_Encoding="br, zstd")
    assert (answer.headers["Content-Encoding"], answer.body) == ("br", b"its twin")


def test_the_tag_of_a_compressed_answer_still_matches(edge, key):
    path = "/?size=5000&answer=ETag:%22a%22"
    answer = edge.get("app.test", path, Accept_Encoding=CODINGS[key])
    assert answer.headers["ETag"] == 'W/"a"'
    passed = edge.get("app.test", If_Match=answer.headers["ETag"]).json["headers"]
    assert passed["If-Match"] == '"a"'


def test_what_the_app_has_encoded_passes_as_it_is(edge, key):
    path = "/?size=5000&answer=Content-Encoding:identity"
    answer = edge.get("app.test", path, Accept_Encoding=CODINGS[key])
    assert answer.headers["Content-Encoding"] == "identity"
    assert answer.json["path"] == path
