"""What a scaffold says of habits of other applications, and that it runs for the examples."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

from histio.scaffold import scaffold
from tests.support.scaffolds import run
from tests.support.tools import ROOT


class Base(orm.DeclarativeBase):
    pass


def token():
    return "made up for each row"


class Study(Base):
    __tablename__ = "studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Trial(Base):
    """Known by its study and its number, of which the database knows nothing."""

    __tablename__ = "trials"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("studies.id"))
    started: Mapped[sa.DateTime | None] = mapped_column(sa.DateTime)
    study: Mapped[Study] = relationship()


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    cookie: Mapped[str] = mapped_column(sa.String(20), unique=True, default=token)
    name: Mapped[str | None] = mapped_column(sa.String(20), unique=True)
    made: Mapped[sa.DateTime] = mapped_column(sa.DateTime)
    seen: Mapped[sa.DateTime | None] = mapped_column(sa.DateTime)


class Server(Base):
    __tablename__ = "servers"
    id: Mapped[int] = mapped_column(primary_key=True)
    port: Mapped[int]


class Spawner(Base):
    """Has a row of its own, to which its foreign key leads."""

    __tablename__ = "spawners"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    server_id: Mapped[int | None] = mapped_column(sa.ForeignKey("servers.id"))
    server: Mapped[Server | None] = relationship(cascade="all, delete-orphan", single_parent=True)


class Dataset(Base):
    """Known by a foreign key without a relationship, and two texts."""

    __tablename__ = "datasets"
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("studies.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(20), primary_key=True)


marks = sa.Table(
    "marks",
    Base.metadata,
    sa.Column("account_id", sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("study_id", sa.ForeignKey("studies.id"), primary_key=True),
    sa.Column("stars", sa.Integer, nullable=False),
)
hidden = type("Mark", (Base,), {"__table__": marks})


class Club(Base):
    __tablename__ = "clubs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    account_id: Mapped[int] = mapped_column(sa.ForeignKey("accounts.id"))


Account.studies = relationship(Study, secondary=marks)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (Trial, '    study_name = Slug("study", key="name", text=True, required=True)  # or key= id'),
        (Trial, "        timestamp = None  # or started, if no row lacks it"),
        (Trial, 'other databases give its numbers to other rows; perhaps ("study_name", "number")'),
        (Account, '        timestamp = "made"  # or seen, if no row lacks it'),
        (Account, '        identity = "name"  # takes nulls: a run without it cannot be exported'),
        (Account, "    marks = Nested(MarkSchema, many=True)"),
        (Account, 'Mark = mappers["Mark"].class_'),
        (Spawner, "    server = Nested(ServerSchema, allow_none=True)"),
        (
            Study,
            "        # not in the format: Dataset, Mark, Trial, which refer to these without a relationship",
        ),
        (Dataset, '        identity = ("study_name", "digest")'),
    ],
    ids=[
        "a name is free text",
        "no time that takes nulls orders runs",
        "what may identify a run",
        "a time without nulls orders runs",
        "no token identifies a run",
        "an association with columns",
        "a model that no module names",
        "a row that goes with its run",
        "rows that refer to a run without its knowing",
        "an identity with a foreign key",
    ],
)
def test_the_source_says(model, line):
    source = scaffold(model)
    assert line in source
    assert len(run(source).history.kinds) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "models"),
    [
        ("orders", ["shop.models:Order", "shop.models:Customer", "shop.models:Product"]),
        ("bakery", ["bakery_service.models:Bake"]),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_the_scaffold_of_an_example_runs_as_it_stands(folder, models, tmp_path):
    if folder == "orders":
        pytest.importorskip("flask_sqlalchemy", reason="this example needs the dependency group dev")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples' / folder}"}

    def python(*arguments):
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    (tmp_path / "binding.py").write_text(python("-m", "histio", "scaffold", *models), "utf-8")
    assert python("-c", "import binding; print(len(binding.history.kinds))") == f"{len(models)}\n"
