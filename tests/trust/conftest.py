"""What the attacks have in common: how often each is tried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.effort import Effort
from tests.support.tries import Tries

SHARES = {Effort.QUICK: 0.05, Effort.DEFAULT: 0.2, Effort.THOROUGH: 1}
"""The part of the tries that a run without `--times` makes."""


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> Iterator[Tries]:
    """Counts how often a test tries, and what goes wrong."""
    option = request.config.getoption
    times = option("times")
    share = SHARES[Effort(option("effort"))] if times is None else times
    made = Tries(request.node.nodeid, option("seed"), share)
    yield made
    request.node.user_properties += made.figures
