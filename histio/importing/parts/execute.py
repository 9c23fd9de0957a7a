"""Import an export in parts, on as many processes or machines as an executor has."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, nullcontext

from histio.bound import Bound, Opening
from histio.database.dialects import refresh_statistics, takes_several_writers
from histio.files import (
    FilePath,
    Limits,
    Predecessor,
    check_damage,
    check_follows,
    check_positive,
    open_rejects,
)
from histio.files.folders import Folder, FolderSource, open_source
from histio.files.manifest import ManifestPart
from histio.files.raw_runs import RawItem
from histio.files.rejects import Rejects
from histio.files.scratch import Scratch
from histio.files.several import open_part
from histio.importing.counts import Tally
from histio.importing.execute import Piece, add_damage, choose_kinds, import_runs
from histio.importing.options import ImportOptions, check_commits
from histio.importing.parts.order import Stage, plan_stages
from histio.importing.parts.task import (
    ImportedPart,
    PartTask,
    import_part,
    unpickle_runs,
)
from histio.importing.parts.total import Total
from histio.importing.plan import plan_imports
from histio.kinds.table import Kind
from histio.progress import Meter, Report
from histio.report import KEPT, ImportReport
from histio.tasks import Workers, count_processors, open_workers
from histio.tuning import tuning


def import_parts(
    bound: Bound,
    describe: Callable[[], Opening],
    folder: str | os.PathLike[str],
    options: ImportOptions,
    *,
    rejects: FilePath | None,
    allow_truncated: bool,
    commit_every: int | None,
    follows: Predecessor,
    limits: Limits,
    jobs: int | None,
    executor: Executor | None,
    progress: Report | None,
) -> ImportReport:
    """Import the parts in *folder*; see `History.import_parts`.

    *describe* describes the history for other processes.
    """
    if bound.database.is_borrowed(None):  # a transaction of the caller is for one process, and not committed
        bound = describe().open()
    kinds = choose_kinds(bound, options)
    check_commits(bound, options, commit_every)
    if jobs is not None:
        check_positive(jobs=jobs)
    meter = Meter(progress)
    file, path = _open_folder(folder, bound, kinds, limits)
    if not allow_truncated:
        check_damage(file)
    check_follows(file, follows)
    at_once = None if takes_several_writers(bound.database.find_engine()) else 1
    is_alone = executor is None and 1 in (at_once, jobs or count_processors())
    history = _Here(bound) if is_alone else describe()
    names = [kind.name for kind in kinds]
    with (
        open_rejects(rejects, file.version, names, file.catalog, versions=bound.versions) as rejected,
        nullcontext() if is_alone else open_workers(executor, jobs, prepare=history.open) as workers,
    ):
        begin = functools.partial(
            PartTask,
            history=history,
            folder=path,
            has_catalog=bool(file.catalog),
            options=options,
            limits=limits,
            allow_truncated=allow_truncated,
            commit_every=commit_every,
            keeps_rejects=rejected is not None,
        )
        work = _PartsImport(bound, kinds, file, path, options, limits=limits, rejects=rejected, begin=begin)
        meter.begin("import", lambda: 0, total=sum(map(work.count, file.manifest.parts)))
        with closing(work.run(workers, at_once)) as done:
            for _ in meter.count(done, work.count):
                pass
    return add_damage(work.total.report, file.damage)


def _open_folder(
    folder: str | os.PathLike[str], bound: Bound, kinds: Sequence[Kind], limits: Limits
) -> tuple[Folder, str]:
    """The export in parts in *folder*, and the path or URL by which other processes can open it."""
    source = open_source(folder, max_bytes=limits.max_bytes)
    with source:
        if not isinstance(source, FolderSource):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder with an export in parts", source.name)
        return Folder(source, bound.gate, (*bound.catalog, *kinds), limits), source.path


class _Here:
    """A history in the process that has it."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def open(self) -> Bound:
        """The history."""
        return self._bound


class _PartsImport:
    """The import of the parts of one export.

    Args:
        bound: The history.
        kinds: The kinds of run to import.
        file: The export.
        path: The path or URL of its folder.
        options: The options of the import.
        limits: The limits of parts and lines.
        rejects: Receives what is rejected; None: nothing does.
        begin: Makes the task for a part from its manifest.

    Attributes:
        total: The report of the parts that are done.
    """

    def __init__(
        self,
        bound: Bound,
        kinds: Sequence[Kind],
        file: Folder,
        path: str,
        options: ImportOptions,
        *,
        limits: Limits,
        rejects: Rejects | None,
        begin: Callable[..., PartTask],
    ) -> None:
        self._bound = bound
        self._kinds = kinds
        self._names = {kind.name for kind in kinds}
        self._file = file
        self._path = path
        self._options = options
        self._limits = limits
        self._rejects = rejects
        self._begin = begin
        self.total = Total([part.name for part in file.manifest.parts])

    def count(self, part: ManifestPart) -> int:
        """The number of runs in a *part* that are imported."""
        return sum(count for kind, count in part.counts.items() if kind in self._names)

    def run(self, workers: Workers | None, at_once: int | None) -> Generator[ManifestPart]:
        """Import all parts, and yield each one that is done.

        Args:
            workers: Run the tasks; None: this process does.
            at_once: How many parts may be imported at the same time; None: as many as *workers* can.
        """
        self._import_catalog()
        for stage in plan_stages(self._file.manifest, self._kinds):
            with _Results() as results:
                yield from self._run_stage(stage, workers, 1 if stage.in_order else at_once, results)
                self._finish(results)
        if self.total.report.imported >= tuning().refresh_from:
            self._refresh()

    def _import_catalog(self) -> None:
        """Import the catalog rows, which the runs of all parts may need."""
        manifest = self._file.manifest
        parts = [part for part in manifest.parts if part.catalog_sha256 is not None]
        if not parts:
            return
        kinds = (*self._bound.catalog, *self._kinds)
        with open_part(
            self._path,
            manifest.only(*parts),
            self._bound.gate,
            kinds,
            self._limits,
            allow_truncated=bool(self._file.damage),
        ) as files:
            self._import(files.items(), has_catalog=True)

    def _run_stage(
        self, stage: Stage, workers: Workers | None, at_once: int | None, results: _Results
    ) -> Generator[ManifestPart]:
        parts = [part for part in stage.parts if part.name not in self._file.missing]
        tasks = [(self._begin(manifest=self._file.manifest.only(part)),) for part in parts]
        with closing(self._run_tasks(tasks, workers, at_once)) as done:
            for number, result in done:
                self.total.add(result.report)
                results.add(number, result)
                yield parts[number]

    def _run_tasks(
        self, tasks: Sequence[tuple[PartTask]], workers: Workers | None, at_once: int | None
    ) -> Generator[tuple[int, ImportedPart]]:
        """Yield the number and the result of each of the *tasks*."""
        if workers is None:
            yield from ((number, import_part(*task)) for number, task in enumerate(tasks))
            return
        repeats = self._options.on_duplicate != "error"  # its runs may be stored, although the task was lost
        yield from workers.run(import_part, tasks, at_once=at_once, may_repeat=repeats)

    def _finish(self, results: _Results) -> None:
        """Write the rejects of a stage, and import what has waited in its parts."""
        for lines, _ in results:
            if lines and self._rejects is not None:
                self._rejects.add_lines(zlib.decompress(lines))
        waiting = itertools.chain.from_iterable(unpickle_runs(runs) for _, runs in results)
        first = next(waiting, None)
        if first is not None:
            self._import(itertools.chain([first], waiting))

    def _import(self, items: Iterable[RawItem], *, has_catalog: bool = False) -> None:
        """Import *items* in this process."""
        parts = self._file.manifest.parts
        tally = Tally(
            self._kinds,
            catalog=self._bound.catalog,
            limit=KEPT,
            rejects=self._rejects,
            files=[part.name for part in parts],
        )
        piece = Piece(has_catalog=bool(self._file.catalog))
        report = import_runs(
            self._bound,
            items,
            self._file.version,
            tally,
            self._options,
            has_catalog=has_catalog,
            piece=piece,
        )
        self.total.add(report)

    def _refresh(self) -> None:
        with self._bound.database.writing(None) as (connection, _, commit):
            refresh_statistics(connection, plan_imports(self._bound, connection.dialect).core_tables)
            commit()


class _Results(Scratch):
    """What parts have rejected, and what waits in them, until all parts of a stage are done."""

    def __init__(self) -> None:
        super().__init__("CREATE TABLE part (number INTEGER PRIMARY KEY, rejects BLOB, waiting BLOB);")
        self._is_empty = True

    def add(self, number: int, part: ImportedPart) -> None:
        """Add the result of the part with this *number*."""
        if part.rejects or part.waiting:
            insert = "INSERT INTO part VALUES (?, ?, ?)"
            self._database.execute(insert, (number + 1, part.rejects, part.waiting))
            self._is_empty = False

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """The rejects of each part, and what waits in it, in the order of the parts."""
        if not self._is_empty:
            select = "SELECT number, rejects, waiting FROM part WHERE number > ? ORDER BY number LIMIT ?"
            for page in self._pages(select, size=1):
                yield from ((rejects, waiting) for _, rejects, waiting in page)
