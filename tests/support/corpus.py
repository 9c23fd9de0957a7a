"""The documents and streams with which other implementations are tested too, and their indexes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from histio.schemas import BUNDLED, BUNDLED_CATALOG

FOLDERS = {name: Path(__file__).parents[1] / name for name in ("documents", "streams")}
INDEXES: dict[str, dict[str, Any]] = {
    name: json.loads((folder / "cases.json").read_bytes()) for name, folder in FOLDERS.items()
}


@dataclass(frozen=True)
class Case:
    """A document.

    Attributes:
        file: Its path below the folder.
        valid: Whether its form is valid.
        why: What it shows, in words.
        problems: Pointer and code of everything that is wrong with it.
        portable: Whether every parser of JSON leads to this verdict.
    """

    file: str
    valid: bool
    why: str
    problems: tuple[tuple[str, str], ...]
    portable: bool = True

    @property
    def name(self) -> str:
        """What is special about it."""
        return Path(self.file).stem

    @property
    def text(self) -> str:
        """Its JSON text as the file has it, repeated names included."""
        return (FOLDERS["documents"] / self.file).read_bytes().decode()

    @property
    def document(self) -> Any:
        return json.loads(self.text)

    @property
    def runs(self) -> list[tuple[str, Any]]:
        """Kind and record of each catalog row and run, as far as there are lists to find them in."""
        lists = self.document if isinstance(self.document, dict) else {}
        found = [(cls.Meta.kind, lists.get(cls.Meta.collection)) for cls in (*BUNDLED_CATALOG, *BUNDLED)]
        return [(kind, record) for kind, runs in found if isinstance(runs, list) for record in runs]


def _read(problems: list[dict[str, str]], **members: Any) -> Case:
    return Case(**members, problems=tuple((each["pointer"], each["code"]) for each in problems))


CASES = [_read(**members) for members in INDEXES["documents"]["cases"]]
VALID = [case for case in CASES if case.valid]
INVALID = [case for case in CASES if not case.valid]


def has_lone_surrogate(text: str) -> bool:
    """Whether JSON *text* has an escape for half of a surrogate pair."""
    members = json.loads(text, object_pairs_hook=list)  # also those that come twice
    try:
        json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def has_repeated_name(text: str) -> bool:
    """Whether an object in JSON *text* has a member twice."""
    found = False

    def notice(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(members)) < len(members)
        return dict(members)

    json.loads(text, object_pairs_hook=notice)
    return found


def read_exactly(text: str) -> Any:
    """What is in JSON *text* to a parser whose numbers have any number of digits."""
    return json.loads(text, parse_float=_whole_or_not)


def _whole_or_not(digits: str) -> float:
    exact = Decimal(digits)
    return int(exact) if exact == exact.to_integral_value() else 0.5
