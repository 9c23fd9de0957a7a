"""Check the numbers of records against the rules that their schemas declare."""

from __future__ import annotations

import functools
from dataclasses import replace
from decimal import localcontext
from typing import Any

from histio.kinds.audits import Audit, Finding, NotEmpty, Record
from histio.kinds.base import binding_error, declares
from histio.kinds.table import Table
from histio.kinds.walk import walk_record

_DIGITS = 2_000
"""Enough digits to add any two floats, or any two values of a column, without rounding."""


@functools.lru_cache(maxsize=256)
def audits_of(table: Table) -> tuple[Audit, ...]:
    """The rules for records of *table*, without those whose members its schema leaves out.

    Raises:
        BindingError: A rule names an unknown member.
    """
    return tuple(
        _with_all_ledgers(each, table) for each in table.schema.opts.audits or () if _applies(each, table)
    )


def _with_all_ledgers(rule: Audit, table: Table) -> Audit:
    """*rule*, but an inherited `NotEmpty` with the ledgers that subclasses have added."""
    if not isinstance(rule, NotEmpty):
        return rule
    schema = type(table.schema)
    sharing = (each for each in schema.__mro__ if _audits(each) is schema.opts.audits)
    *_, declaring = sharing
    ledgers = (table.names[ledger.member] for ledger in table.ledgers)
    return replace(
        rule, ledgers=(*rule.ledgers, *(name for name in ledgers if not declares(declaring, name)))
    )


def _audits(schema: type[Any]) -> Any:
    return getattr(getattr(schema, "opts", None), "audits", None)


def _applies(rule: Audit, table: Table) -> bool:
    for path in rule.members:
        if not _has(table, path) and not declares(type(table.schema), path):
            raise binding_error(table.schema, f"{rule}: there is no {path!r}", field="Meta.audits")
    return all(_has(table, path) for path in rule.members)


def _has(table: Table, path: str) -> bool:
    """Whether *path* leads to a member of *table* or of its ledgers."""
    name, _, rest = path.partition(".")
    if not rest:
        return name in table.names.values()
    return any(table.names[each.member] == name and _has(each.table, rest) for each in table.ledgers)


def apply_rule(rule: Audit, record: Record) -> list[Finding]:
    """Apply a *rule* to *record*, but not to its entries; numbers of any size are compared exactly."""
    with localcontext(prec=_DIGITS):
        return list(rule.findings(record))


def audit_record(table: Table, record: Record, *steps: str | int) -> list[tuple[tuple[str | int, ...], str]]:
    """Apply the rules to *record* and its entries; return the place and the text of each finding.

    *steps* lead to *record*, and are the beginning of each place.
    """
    found: list[tuple[tuple[str | int, ...], str]] = []
    for below, entry, at in walk_record(table, record, *steps):
        for rule in audits_of(below):
            found += (((*at, member), text) for member, text in apply_rule(rule, entry))
    return found
