"""Apply the revisions of a report to the records that were stored before."""

from __future__ import annotations

import copy


def replay_all(document, revisions):
    """*document* with the changes of *revisions*, which update each run once at most."""
    return {
        name: [replay(run, [each for each in revisions if each.uuid == label(run)]) for run in runs]
        if isinstance(runs, list)
        else runs
        for name, runs in document.items()
    }


def replay(stored, revisions):
    """The record *stored* with the changes of *revisions*, which are those of one update of the run.

    Entries are removed at their stored places, added at their new ones, and put in order, before what is
    below them. Then members change.
    """
    found = copy.deepcopy(stored)
    placed = [(each.pointer.split("/")[1:], each) for each in revisions]
    for depth in range(1, 2 + max((len(steps) for steps, _ in placed), default=0)):
        entries = [each for each in placed if len(each[0]) == depth and each[0][-1].isdecimal()]
        removed = [(int(steps[-1]), steps, each.stored) for steps, each in entries if each.given is None]
        for place, steps, entry in sorted(removed, key=lambda each: -each[0]):
            assert follow(found, steps[:-1]).pop(place) == entry
        for steps, added in ((steps, each.given) for steps, each in entries if each.stored is None):
            follow(found, steps[:-1]).insert(int(steps[-1]), added)
        members = [each for each in placed if len(each[0]) == depth - 1 and not each[0][-1].isdecimal()]
        for steps, each in (each for each in members if is_ledger(follow(found, each[0]))):
            follow(found, steps).sort(key=lambda entry, order=each.given: order.index(label(entry)))
    for steps, each in placed:
        if not (steps[-1].isdecimal() or is_ledger(follow(found, steps))):
            assert follow(found, steps) == each.stored
            follow(found, steps[:-1])[steps[-1]] = each.given
    return found


def strip(value, names):
    """*value* without the members with these *names*, at any depth."""
    if isinstance(value, dict):
        return {name: strip(each, names) for name, each in value.items() if name not in names}
    return [strip(each, names) for each in value] if isinstance(value, list) else value


def label(record):
    """What identifies a run or an entry, as text."""
    return str(next(record[name] for name in ("uuid", "id", "code") if name in record))


def follow(record, steps):
    """What is at *steps* below *record*."""
    for step in steps:
        record = record[int(step)] if isinstance(record, list) else record[step]
    return record


def is_ledger(value):
    return isinstance(value, list) and any(isinstance(entry, dict) for entry in value)
