from __future__ import annotations

import pytest

from portico.core.model.labels import app_or_instance


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("web", "web"),
        ("web.2", "web.2"),
        ("web.2.17", "web.2.17"),
        ("shop/web", "shop/web"),
        ("shop/web.2.17", "shop/web.2.17"),
        ("a/b/c", "a-b-c"),
        ("My API", "my-api"),
        ("blue:web", "blue-web"),
        ("api.example.com", "api-example-com"),
        ("x" * 60 + "!", "x" * 50),
        ("!", "!"),
    ],
)
def test_an_app_is_found_by_the_name_that_its_pm2_file_has(written, meant):
    assert app_or_instance(written) == meant
