"""The order in which the parts of an export are imported."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from histio.files.manifest import Manifest, ManifestPart
from histio.kinds.table import Kind
from histio.resolving.circles import find_reachable


@dataclass(frozen=True, slots=True)
class Stage:
    """Parts that are imported before those of the next stage.

    Attributes:
        parts: The parts.
        in_order: Whether they are imported one after the other, because their runs refer to each other.
    """

    parts: Sequence[ManifestPart]
    in_order: bool


def plan_stages(manifest: Manifest, kinds: Sequence[Kind]) -> Iterator[Stage]:
    """The parts with runs of *kinds*, so that each run comes after those that it refers to.

    Where runs of one kind refer to each other, or kinds do so in a circle, a run may still refer to one of a
    later part. Parts that have nothing, as the manifest says, come first: they are read to verify that.
    """
    empty = [part for part in manifest.parts if not part.kinds]
    if empty:
        yield Stage(empty, in_order=False)
    reachable = find_reachable(kinds, lambda kind, other: any(kind.refers_to(other)))

    @functools.cache
    def level(kind: Kind) -> int:
        below = (other for other in reachable[kind] if kind not in reachable[other])
        return 1 + max(map(level, below), default=0)

    for number in sorted(set(map(level, kinds))):
        of_level = [kind for kind in kinds if level(kind) == number]
        for in_order in (False, True):
            names = {kind.name for kind in of_level if (kind in reachable[kind]) is in_order}
            parts = [part for part in manifest.parts if names.intersection(part.kinds)]
            if parts:
                yield Stage(parts, in_order)
