from __future__ import annotations

import threading

from portico.adapters.processes.turns import one_at_a_time

TIMEOUT = 60.0


def test_a_look_waits_for_the_one_of_another_thread_and_may_look_within_itself():
    may_end, begun, order = threading.Event(), threading.Event(), []

    @one_at_a_time
    def inner() -> None:
        order.append("first")

    @one_at_a_time
    def first() -> None:
        begun.set()
        assert may_end.wait(TIMEOUT)
        inner()

    @one_at_a_time
    def second() -> None:
        order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(TIMEOUT)
    threads[1].start()
    may_end.set()
    for each in threads:
        each.join(TIMEOUT)
    assert order == ["first", "second"]


def test_a_look_that_hangs_holds_up_no_other_for_ever():
    may_end, begun = threading.Event(), threading.Event()

    @one_at_a_time
    def hangs() -> None:
        begun.set()
        assert may_end.wait(TIMEOUT)

    thread = threading.Thread(target=hangs)
    thread.start()
    assert begun.wait(TIMEOUT)
    assert one_at_a_time(lambda: "done")() == "done"
    may_end.set()
    thread.join(TIMEOUT)
