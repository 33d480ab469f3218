"""The budget of explanations: what is given up, in which order, and that the share holds."""

from __future__ import annotations

import itertools

import pytest

from tb_xai.callbacks.budget import FEWEST_SAMPLES, LONGEST_WAIT, Budget


def run(budget: Budget, cost: float, epoch: float, epochs: int) -> tuple[float, list[int]]:
    """Train for so many epochs; the share that explaining took, and the epochs it was done in.

    An explanation of all examples with all samples takes `cost` seconds, of fewer proportionally.
    """
    everything = budget.examples
    spent, done = 0.0, []
    budget.paid(cost, free=True)
    for number in range(1, epochs + 1):
        if budget.affords(number * epoch):
            took = cost * budget.examples / everything * budget.samples
            budget.paid(took)
            spent += took
            done.append(number)
            assert spent <= budget.share * number * epoch * (1 + 1e-9)
    return spent / (epochs * epoch), done


def test_what_is_cheap_is_done_always() -> None:
    budget = Budget(0.05, 16, fewest=4, samples=True)
    share, done = run(budget, cost=0.04, epoch=1.0, epochs=50)
    assert done == list(range(1, 51))
    assert share == pytest.approx(0.04)
    assert (budget.examples, budget.samples) == (16, 1.0)


def test_the_schedule_is_given_up_first() -> None:
    budget = Budget(0.05, 16, fewest=4, samples=True)
    _, done = run(budget, cost=0.15, epoch=1.0, epochs=60)
    assert done == list(range(3, 61, 3))
    assert (budget.examples, budget.samples) == (16, 1.0)


def test_then_examples_and_then_samples() -> None:
    budget = Budget(0.05, 16, fewest=4, samples=True)
    share, done = run(budget, cost=0.8, epoch=1.0, epochs=200)  # would be every 16th epoch
    assert (budget.examples, budget.samples) == (4, 1.0)
    assert max(b - a for a, b in itertools.pairwise(done)) <= LONGEST_WAIT
    assert 0.04 < share <= 0.05
    budget = Budget(0.05, 16, fewest=4, samples=True)
    _, done = run(budget, cost=3.0, epoch=1.0, epochs=200)
    assert budget.examples == 4
    assert FEWEST_SAMPLES <= budget.samples < 1
    assert max(b - a for a, b in itertools.pairwise(done)) <= LONGEST_WAIT


def test_at_the_end_only_the_schedule_is_left() -> None:
    budget = Budget(0.01, 16, fewest=4, samples=False)
    share, done = run(budget, cost=10.0, epoch=1.0, epochs=1000)
    assert (budget.examples, budget.samples) == (4, 1.0)
    assert done
    assert share <= 0.01


def test_skipped_steps_are_counted_until_the_next_explanation() -> None:
    budget = Budget(0.1, 4, fewest=4, samples=False)
    budget.paid(0.3, free=True)
    assert [budget.affords(t) for t in (1.0, 2.0)] == [False, False]
    assert budget.skipped == 2
    assert budget.affords(3.0)
    budget.paid(0.3)
    assert budget.skipped == 0


def test_a_cost_that_does_not_shrink_with_the_examples_is_seen() -> None:
    budget = Budget(0.05, 64, fewest=4, samples=False)
    budget.paid(1.0, free=True)
    spent = 0.0
    for number in range(1, 301):
        if budget.affords(float(number)):
            budget.paid(1.0)  # whatever is given up
            spent += 1.0
        assert spent <= 0.05 * number + 1.0  # one explanation is believed to be cheaper
    assert spent <= 0.05 * 300
    assert budget.examples == 4
