"""Which runs of a database a command exports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import histio
from histio.cli.usage import UsageError


def select_kinds(history: histio.History, where: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    """The arguments ``kinds`` and ``where`` of an export, from the options of these names."""
    if not where:
        return {"kinds": kinds or None}
    from histio.inspecting.filters import filter_by_slugs

    criteria = filter_by_slugs(history, _parse_slugs(where), kinds=kinds or None)
    return {"kinds": tuple(criteria), "where": criteria}


def check_period(since: dt.date | None, until: dt.date | None) -> None:
    """Raise UsageError if *since* is later than *until*."""
    if since and until and _start_of(since) > _start_of(until):
        raise UsageError("--since is later than --until.")


def _parse_slugs(filters: Sequence[str]) -> dict[str, str]:
    """Slugs by member, from the values of ``--where``."""
    slugs = {}
    for text in filters:
        member, equals, slug = text.partition("=")
        if not (member and equals and slug):
            raise UsageError(f"--where: write MEMBER=SLUG, not {text!r}.")
        slugs[member] = slug
    return slugs


def _start_of(date: dt.date) -> dt.datetime:
    """The first instant of a date, or the time itself; without offset, it is UTC."""
    if not isinstance(date, dt.datetime):
        return dt.datetime.combine(date, dt.time.min, dt.UTC)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
