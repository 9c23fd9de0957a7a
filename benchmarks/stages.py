"""Where imports and exports spend their time, stage by stage.

cProfile makes calls of Python functions look slower than they are: compare the shares with those of another
day, not with the clock.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import data
from databases import DATABASES, Scratch, create, fill

import histio

# A function belongs to the stage of the first part of its path that occurs here.
STAGES = {
    "orjson.loads": "parse",
    "json/decoder.py": "parse",
    "histio/files/decoding.py": "parse",
    "jsonschema_rs": "check",
    "histio/kinds/gate.py": "check",
    "marshmallow": "check",
    "histio/kinds/fields": "check",
    "histio/importing/classify.py": "classify",
    "histio/importing/identities.py": "classify",
    "histio/importing/duplicates.py": "classify",
    "histio/importing/fast/take.py": "classify",
    "histio/importing/update/compare.py": "classify",
    "histio/resolving/resolve.py": "resolve",
    "histio/importing/row_builder.py": "resolve",
    "histio/exporting/fast/columns.py": "dump",
    "histio/exporting/fast/formatter.py": "dump",
    "histio/importing/fast": "load",
    "histio/files": "files",
    "_hashlib": "files",
    "_io.": "files",
    "posix.fsync": "files",
    "histio/importing/spool.py": "account",
    "histio/importing/counts.py": "account",
    "sqlite3": "database",
    "psycopg": "database",
    "pymysql": "database",
    "_socket": "database",
    "sqlalchemy": "database",
    "histio/database/dialects": "database",
    "histio/importing/batches.py": "database",
    "histio/importing/bulk.py": "database",
    "histio/importing/owner_keys.py": "database",
}


def shares(work: Callable[[], object]) -> dict[str, float]:
    """The share of each stage in the time that *work* takes, the greatest first."""
    profile = cProfile.Profile()
    profile.runcall(work)
    spent: Counter[str] = Counter()
    for (file, _, name), (_, _, own, *_) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        place = f"{Path(file).as_posix()} {name}"
        spent[next((stage for part, stage in STAGES.items() if part in place), "other")] += own
    total = spent.total()
    return {stage: seconds / total for stage, seconds in spent.most_common()}


def main() -> None:
    """Print the shares of an export, of an import, and of an import of runs that all exist."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="histio-") as folder,
        closing(Scratch(options.database)) as scratch,
    ):
        runs, out = Path(folder, "runs.jsonl"), Path(folder, "out.jsonl")
        data.write(runs, data.runs(options.runs))
        url = scratch.fresh("stages")
        create(url)
        fill(url)
        with closing(histio.History(url)) as history:
            for title, work in (
                ("import", lambda: history.import_file(runs)),
                ("import, all existing", lambda: history.import_file(runs)),
                ("export", lambda: history.export_file(out)),
            ):
                print(title, *(f"{stage} {share:.0%}" for stage, share in shares(work).items()), sep=" | ")


if __name__ == "__main__":
    main()
