"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.worklist.model import Priority
from services.worklist.turns import Rules, Waiting, pick
from tests.unit.worklist.samples import NOON, later

RULES = Rules(most=4, patience=timedelta(minutes=15))


def waiting(position: int, sender: str = "A", priority: Priority = Priority.MEDIUM, since: float = 0) -> Waiting:
    return Waiting(str(position), priority, sender, later(since), position)


def test_what_is_urgent_comes_first_and_then_what_is_older() -> None:
    jobs = [waiting(1, priority=Priority.LOW), waiting(2), waiting(3, priority=Priority.HIGH), waiting(4)]
    assert pick(jobs, {}, NOON, RULES) == ["3", "2", "4", "1"]


def test_no_more_start_than_there_is_room_for() -> None:
    assert pick([waiting(1), waiting(2)], {("A", Priority.MEDIUM): 2, ("B", Priority.MEDIUM): 1}, NOON, RULES) == ["1"]
    assert pick([waiting(1)], {("A", Priority.MEDIUM): 4}, NOON, RULES) == []


def test_a_sender_of_many_does_not_hold_up_one_of_few() -> None:
    jobs = [*(waiting(n) for n in range(1, 101)), waiting(101, "B"), waiting(102, "C")]
    assert pick(jobs, {}, NOON, RULES) == ["1", "101", "102", "2"]
    assert pick(jobs, {("A", Priority.MEDIUM): 3}, NOON, RULES) == ["101"]


def test_what_has_waited_long_counts_as_more_urgent() -> None:
    old, new = waiting(1, priority=Priority.LOW), waiting(2, priority=Priority.HIGH, since=1700)
    three = {("B", Priority.HIGH): 3}  # the last place
    assert pick([new, old], three, later(1700), RULES) == ["2"]
    assert pick([new, old], three, later(1801), RULES) == ["1"]
    middle = waiting(3, since=900)
    assert pick([middle, old], {}, later(901), RULES) == ["1", "3"]


def test_what_is_urgent_passes_whatever_has_waited_long() -> None:
    many = [waiting(n, f"sender {n}") for n in range(100)]
    now = waiting(100, "A", Priority.HIGH, since=7000)
    assert pick([*many, now], {}, later(7200), RULES)[0] == "100"
    assert pick([*many, now], {("A", Priority.HIGH): 2}, later(7200), RULES)[0] == "100"
    assert pick([*many, now], {}, later(7200), Rules(1, RULES.patience)) == ["100"]


def test_nothing_waits_for_ever_however_much_that_is_urgent_comes() -> None:
    patient = waiting(0, "slow", Priority.LOW)
    for minute in range(60):
        urgent = [waiting(n + 1 + 9 * minute, "busy", Priority.HIGH, 60 * minute) for n in range(9)]
        if patient.id in pick([patient, *urgent], {("busy", Priority.HIGH): 3}, later(60 * minute), RULES):
            assert minute == 30  # two steps of patience
            return
    raise AssertionError("it never came")


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(Priority)), max_size=40), st.integers(1, 9))
def test_as_many_start_as_may_and_of_one_priority_no_sender_gets_two_more_than_another(
    jobs: list[tuple[str, Priority]], most: int
) -> None:
    queue = [waiting(n, sender, priority) for n, (sender, priority) in enumerate(jobs)]
    picked = pick(queue, {}, NOON, Rules(most, timedelta(hours=1)))
    assert len(picked) == len(set(picked)) == min(most, len(jobs))
    left = [job for job in queue if job.id not in picked]
    if len({job.priority for job in queue}) == 1:
        got = Counter(job.sender for job in queue if job.id in picked)
        assert all(got[job.sender] >= max(got.values()) - 1 for job in left)
