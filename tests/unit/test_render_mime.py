from __future__ import annotations

from portico.core.render.directive import to_text
from portico.core.render.mime import compression, mime_types


def test_no_ending_has_two_types():
    endings = [
        ending
        for line in to_text(mime_types()[:1]).splitlines()[1:-1]
        for ending in line.strip().rstrip(";").split()[1:]
    ]
    assert len(endings) == len(set(endings)) > 50


def test_event_streams_and_what_is_compressed_already_are_left_alone():
    (types,) = [line for line in to_text(compression()).splitlines() if "gzip_types" in line]
    names = types.rstrip(";").split()[1:]
    assert len(names) == len(set(names))
    assert not {"text/event-stream", "image/png", "font/woff2", "text/html"} & set(names)
