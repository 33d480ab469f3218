"""What a share of training time pays for: how often to explain, and how much each time."""

from __future__ import annotations

# Scheduled steps that may pass without an explanation before examples are given up instead: a
# series that is much thinner says little of how an explanation moves.
LONGEST_WAIT = 5

# Examples and samples are halved down to these.
FEWEST_EXAMPLES = 4
FEWEST_SAMPLES = 1 / 8


class Budget:
    """Keeps explaining at or below a share of training time by measuring what it costs.

    What is given up first is the schedule: a step that would pass the share is left out. When more
    than `LONGEST_WAIT` scheduled steps in a row would have to be, the number of examples is halved,
    and when there are few, the number of samples. Nothing is taken back within a fit, so that a
    series changes its examples only a few times.

    Args:
        share: Largest share of training time, in (0, 1].
        examples: Number of examples there are.
        fewest: Examples that are always explained.
        samples: Whether the method has samples to give up.

    Attributes:
        examples: How many to explain now.
        samples: Share of the samples to draw now.
        skipped: Steps left out since the last explanation.
        spent: Seconds that explanations took so far.
    """

    def __init__(self, share: float, examples: int, *, fewest: int, samples: bool) -> None:
        self.share, self.examples, self.samples = share, examples, 1.0
        self.skipped = 0
        self._fewest = min(fewest, examples)
        self._has_samples = samples
        self.spent = 0.0
        self._cost = 0.0
        self._due = 0

    def paid(self, seconds: float, *, free: bool = False) -> None:
        """Count what an explanation took; `free` is one that does not count, such as step 0."""
        self._cost = seconds
        self.skipped = 0
        if not free:
            self.spent += seconds

    def affords(self, training: float) -> bool:
        """Return whether a scheduled step may be explained after so many seconds of training.

        May reduce `examples` and `samples`, which the caller then has to follow.
        """
        self._due += 1
        period = training / self._due  # seconds of training between scheduled steps
        while self._waits(training) > LONGEST_WAIT * period and self._reduce():
            pass
        if self._waits(training) > 0:
            self.skipped += 1
            return False
        return True

    def _waits(self, training: float) -> float:
        """Seconds of training until the next explanation is paid for."""
        return (self.spent + self._cost) / self.share - training

    def _reduce(self) -> bool:
        """Give up half the examples or samples; the cost is believed to halve until measured."""
        if self.examples > self._fewest:
            fewer = max(self._fewest, self.examples // 2)
            self._cost *= fewer / self.examples
            self.examples = fewer
        elif self._has_samples and self.samples > FEWEST_SAMPLES:
            self.samples /= 2
            self._cost /= 2
        else:
            return False
        return True
