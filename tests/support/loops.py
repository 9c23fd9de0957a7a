"""Tests that are coroutines."""

from __future__ import annotations

import asyncio
import functools


def in_a_loop(test):
    """A test that is a coroutine, as one that is none."""

    @functools.wraps(test)
    def run(*args, **options):
        asyncio.run(test(*args, **options))

    return run
