"""Plan what a report counts and adds up in the records of one table, from its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from histio.kinds.auditing import audits_of
from histio.kinds.audits import Audit, PerUnit, Sum
from histio.kinds.charting import amounts_of, charts_of, unit_of
from histio.kinds.charts import Compare
from histio.kinds.fields import RunRef, Slug
from histio.kinds.table import Ledger, Table


@dataclass(frozen=True, slots=True)
class Amount:
    """A member that holds a number.

    Attributes:
        name: The member's name in a record.
        description: Its description in the schema; may be empty.
        index: The index of its sum in totals.
        is_rate: Whether it is a rate, such as a cost per unit, whose sum means nothing.
        adds_up: Whether it may be added up across units of measure.
    """

    name: str
    description: str
    index: int
    is_rate: bool
    adds_up: bool


@dataclass(frozen=True, slots=True)
class Grouping:
    """Records grouped by one of their slugs.

    Attributes:
        name: The slug's name in a record.
        number: The number of the grouping in `Sums`.
        many: Whether a record may have several slugs.
    """

    name: str
    number: int
    many: bool


@dataclass(frozen=True, slots=True)
class BranchPlan:
    """What is counted and added up in the runs of a kind, or in the entries of a ledger.

    Attributes:
        path: The names that lead from a run to the ledger; empty for runs.
        description: The ledger's description in the schema; may be empty.
        unit: The member with the unit of measure of the amounts; None: there is none.
        rules: The rules to check, of ``Meta.audits``.
        amounts: The numbers to add up.
        charts: The charts of ``Meta.charts``, each with the index of the first of its two sums in totals.
        groupings: The slugs to group by.
        by_day: The number of the grouping by the day of the run; None: not grouped by day.
        width: The number of sums in totals.
        ledgers: The plans of the table's ledgers.
    """

    path: tuple[str, ...]
    description: str
    unit: str | None
    rules: tuple[Audit, ...]
    amounts: tuple[Amount, ...]
    charts: Mapping[Compare, int]
    groupings: tuple[Grouping, ...]
    by_day: int | None
    width: int
    ledgers: tuple[tuple[Ledger, BranchPlan], ...]


def plan_branch(table: Table, numbers: Iterator[int]) -> BranchPlan:
    """Plan the report of a kind's runs and all their ledgers.

    Args:
        table: The table of the kind.
        numbers: Yields an unused number for each grouping.
    """
    return _plan(table, numbers, path=(), ledger=None, description="", added_above=frozenset())


def _plan(
    table: Table,
    numbers: Iterator[int],
    *,
    path: tuple[str, ...],
    ledger: Ledger | None,
    description: str,
    added_above: frozenset[str],
) -> BranchPlan:
    """Plan one table and its ledgers.

    Args:
        table: The table.
        numbers: Yields an unused number for each grouping.
        path: The names that lead to it.
        ledger: The last of them; None for runs.
        description: The ledger's description.
        added_above: The members, as paths from here, that a rule of a table above adds up.
    """
    rules, charts, unit = audits_of(table), charts_of(table), unit_of(table)
    added = added_above | {
        name for rule in rules if isinstance(rule, Sum) for name in (rule.total, *rule.parts)
    }
    amounts = _plan_amounts(table, ledger, rules, added)
    groupings = tuple(
        Grouping(name, next(numbers), slug.many) for name, slug in _slugs(table) if name != unit
    )
    by_day = next(numbers) if not path or charts or not groupings else None
    ledgers = tuple(
        (
            each,
            _plan(
                each.table,
                numbers,
                path=(*path, name),
                ledger=each,
                description=_description(table, each.member),
                added_above=_below(added, name),
            ),
        )
        for each in table.ledgers
        for name in [table.names[each.member]]
    )
    return BranchPlan(
        path=path,
        description=description,
        unit=unit,
        rules=tuple(rules),
        amounts=amounts,
        charts={chart: len(amounts) + 2 * number for number, chart in enumerate(charts)},
        groupings=groupings,
        by_day=by_day,
        width=len(amounts) + 2 * len(charts),
        ledgers=ledgers,
    )


def _plan_amounts(
    table: Table, ledger: Ledger | None, rules: tuple[Audit, ...], added: frozenset[str]
) -> tuple[Amount, ...]:
    rates = {rule.unit for rule in rules if isinstance(rule, PerUnit)}
    members = [
        (name, member)
        for name, member in amounts_of(table).items()
        if ledger is None or member not in ledger.order  # a position in the ledger is not an amount
    ]
    return tuple(
        Amount(name, _description(table, member), index, name in rates, name in added)
        for index, (name, member) in enumerate(members)
    )


def _below(paths: frozenset[str], name: str) -> frozenset[str]:
    """The *paths* that lead through the ledger *name*, from its entries on."""
    return frozenset(path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}."))


def _description(table: Table, member: str) -> str:
    return str(table.fields[member].metadata.get("description", ""))


def _slugs(table: Table) -> Iterator[tuple[str, Slug]]:
    """The slugs of catalog rows, by their names in a record; references to runs are left out."""
    for member, name in table.names.items():
        field = table.fields[member]
        if isinstance(field, Slug) and not isinstance(field, RunRef) and member not in table.identity_members:
            yield name, field
