from __future__ import annotations

from portico.adapters.discovery.waiting import (
    MAX_QUESTIONS,
    MAX_SUBJECTS,
    REPEAT_TIME,
    WaitingQuestions,
)
from portico.core.planning.discovery import Verdict, Zone


def test_a_question_that_waits_is_for_an_app_whether_it_is_known_or_not():
    zone = Zone({"web": ()}, frozenset({"old"}))
    for name, app in (("17.wait.web", "web"), ("17.wait.api", "api"), ("17.wait.old", None)):
        answer = zone.answer(f"{name}.portico.internal.", "A")
        assert (answer.waits_for, answer.verdict) == (app, Verdict.NO_SUCH_NAME)
    other = zone.answer("17.wait.web.shop._project.portico.internal", "A")
    assert other.waits_for == "shop/web"


def test_an_answer_is_given_once_and_not_before_its_time():
    questions, said = WaitingQuestions(), list[str]()
    questions.add("web", 1, lambda: said.append("first"), 10.0)
    assert not list(questions.take("web", asked_before=9.0))
    assert not list(questions.take("api"))
    for answer in questions.take("web", asked_before=10.0):
        answer()
    assert said == ["first"]
    assert not questions.has("web")


def test_a_question_that_is_repeated_is_one_and_others_are_forgotten():
    questions = WaitingQuestions()
    questions.add("web", "repeated", object, 0.0)
    questions.add("web", "given up", object, 0.0)
    questions.add("web", "repeated", object, 5.0)
    questions.add("web", "new", object, REPEAT_TIME + 1)
    assert len(list(questions.take("web"))) == 2


def test_no_more_questions_wait_than_there_is_room_for():
    questions = WaitingQuestions()
    for key in range(MAX_QUESTIONS + 10):
        questions.add("web", key, object, 0.0)
    assert len(list(questions.take("web"))) == MAX_QUESTIONS


def test_who_asks_about_apps_without_end_uses_no_memory_without_end():
    questions = WaitingQuestions()
    for number in range(MAX_SUBJECTS + 10):
        questions.add(f"app{number}", number, object, 0.0)
    assert not questions.has("app0")
    assert questions.has(f"app{MAX_SUBJECTS}")
