from __future__ import annotations

import pytest

from tests.documents import problems_of


def file(**after: list[str]) -> str:
    """Apps by name, each after the others named."""
    return "\n".join(f"apps.{n} = {{ command = 'run', after = {a} }}" for n, a in after.items())


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        (
            {"web": ["db-workr"], "db-worker": []},
            'apps.web.after[0]: there is no app "db-workr" (did you mean "db-worker"?)',
        ),
        ({"web": ["web"]}, "apps.web.after[0]: an app cannot start after itself"),
        (
            {"a": ["x", "b"], "b": ["c"], "c": ["a"], "x": []},
            'apps.a.after[1]: these apps wait for each other: "a" after "b" after "c" after "a"',
        ),
        (
            {"a": ["b"], "b": ["c"], "c": ["b"]},
            'apps.b.after[0]: these apps wait for each other: "b" after "c" after "b"',
        ),
    ],
)
def test_an_order_that_cannot_be_is_refused_where_it_is_written(after, problem):
    assert problems_of(file(**after)) == [problem]


def test_an_order_that_can_be_is_taken():
    assert problems_of(file(web=["api", "db"], api=["db"], db=[])) == []


def test_nothing_waits_for_a_program_that_runs_at_its_times_nor_does_it_wait():
    task = 'command = "x"\nport = false\nschedule = "@daily"'
    assert problems_of(f"{file(web=['task'])}\n[apps.task]\n{task}") == [
        'apps.web.after[0]: app "task" runs on a schedule, so nothing can wait for it'
    ]
    assert problems_of(f"{file(db=[])}\n[apps.task]\n{task}\nafter = ['db']") == [
        "apps.task.after: cannot be combined with schedule"
    ]
