"""The tries of tests/trust: none of their faults gets lost."""

from __future__ import annotations

import pytest

from tests.support.tries import MOST_FAULTS, Tries


def drawn(tries, count):
    """What the tries draw."""
    numbers = []
    for each in tries(count):
        with each as chance:
            numbers.append(chance.randrange(1000))
    return numbers


def test_a_seed_gives_the_same_tries_and_the_next_seed_begins_with_the_second():
    numbers = drawn(Tries("test", 1, times=2), 5)
    assert len(set(numbers)) == 10
    assert numbers == drawn(Tries("test", 1, times=1), 10)
    assert numbers[1:] == drawn(Tries("test", 2, times=1), 9)
    assert drawn(Tries("test", 5, times=0), 100) == [numbers[4]]


def fail_at(places, tries, count):
    for number, each in enumerate(tries(count)):
        with each:
            assert number not in places


def test_all_faults_are_raised_in_the_end_with_what_repeats_them():
    tries = Tries("test_it", 1, times=1)
    with pytest.raises(BaseExceptionGroup, match="2 faults in 4 tries") as caught:
        fail_at({1, 3}, tries, 4)
    assert [error.__notes__[-1] for error in caught.value.exceptions] == [
        "again: pytest 'test_it' --seed 2 --times 0",
        "again: pytest 'test_it' --seed 4 --times 0",
    ]
    assert tries.figures == [("tries", 4), ("faults", 2)]


def test_a_test_that_fails_all_the_time_stops():
    tries = Tries("test_it", 1, times=1)
    with pytest.raises(BaseExceptionGroup, match=f"{MOST_FAULTS} faults in {MOST_FAULTS} tries"):
        fail_at(range(1000), tries, 1000)
