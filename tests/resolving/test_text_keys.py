"""Keys that are free text."""

from __future__ import annotations

import logging

import jsonschema
import pytest
import sqlalchemy as sa
from hypothesis import find
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import BindingError, ExportError, History, Slug, SlugList
from histio.testing import documents
from tests.support.bakery import number
from tests.support.conformance import check_host
from tests.support.reports import codes_of, outcomes


class Base(orm.DeclarativeBase):
    pass


film_actors = sa.Table(
    "film_actors",
    Base.metadata,
    sa.Column("film_id", sa.ForeignKey("films.id"), primary_key=True),
    sa.Column("actor_id", sa.ForeignKey("actors.id"), primary_key=True),
)


class Studio(Base):
    __tablename__ = "studios"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    former: Mapped[str | None] = mapped_column(sa.String(300))


class Actor(Base):
    __tablename__ = "actors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(60))


class Hall(Base):
    __tablename__ = "halls"
    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str] = mapped_column(sa.String(60))
    place: Mapped[int]


class Film(Base):
    __tablename__ = "films"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    studio_id: Mapped[int | None] = mapped_column(sa.ForeignKey("studios.id"))
    hall_id: Mapped[int | None] = mapped_column(sa.ForeignKey("halls.id"))
    genre: Mapped[str | None] = mapped_column(sa.String(60))
    studio: Mapped[Studio | None] = relationship()
    hall: Mapped[Hall | None] = relationship()
    actors: Mapped[list[Actor]] = relationship(secondary=film_actors)


def kind(**slugs):
    meta = {"model": Film, "kind": "film", "collection": "films", "timestamp": None, "unbound": "ignore"}
    members = {"uuid": histio.RunUUID(required=True), **slugs}
    return type("FilmSchema", (histio.RunSchema,), {"Meta": type("Meta", (), meta), **members})


def studio(**options):
    return {"studio": Slug("studio", key="name", text=True, **options)}


EVERYTHING = {
    **studio(fallback="former", allow_none=True),
    "genre": Slug(text=True, allow_none=True),
    "hall": Slug("hall", key=("city", "place"), text=True, allow_none=True),
    "actors": SlugList("actors", key="name", text=True),
}

KEYS = [
    " at the edges ",
    "a\ttab",
    "two\nlines",
    "\u2028",
    "",
    " ",
    "'=",
    "=",
    "100%s",
    "\x01",
    "tail ",
    "tail",
    "TAIL",
    "å",
    "a\u030a",
    '"\\',
    "x" * 5_000,
]


def film(n=1, **members):
    return {"uuid": number(n), **members}


def document(*films):
    return {"version": "1.0", "films": list(films)}


@pytest.fixture
def engine(create):
    short = [key for key in KEYS if len(key) < 60]
    studios = [Studio(name=key) for key in KEYS]
    return create(
        Base.metadata,
        *studios,
        *(Actor(name=key) for key in short),
        *(Hall(city=key, place=1) for key in short),
    )


@pytest.mark.parametrize("options", [{"required": True}, {"allow_none": True}])
def test_text_keys_go_out_and_in_straight(engine, options, caplog):
    history = History(engine, kind(**studio(**options)))
    given = document(*(film(n, studio=key) for n, key in enumerate(KEYS)))
    assert history.check(given) == []
    assert outcomes(history.import_document(given)) == (len(KEYS), 0, 0)
    assert "marshmallow" not in history.explain()
    with caplog.at_level(logging.DEBUG, "histio"):
        assert history.export_document()["films"] == given["films"]
    assert "full path" not in caplog.text
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, len(KEYS), 0)


def test_both_paths_write_text_keys_alike(engine):
    history = History(engine, kind(**studio(allow_none=True)))
    history.import_document(document(*(film(n, studio=key) for n, key in enumerate([*KEYS, None]))))
    with Session(engine) as session:
        rows = session.scalars(sa.select(Film).order_by(Film.uuid)).all()
        assert kind(**studio(allow_none=True))().dump(rows, many=True) == list(history.iter_runs("film"))


def test_a_row_that_is_gone_is_not_an_empty_text(engine):
    history = History(engine, kind(**studio(allow_none=True)))
    history.import_document(document(film(studio="")))
    with engine.begin() as connection:
        connection.execute(sa.update(Film).values(studio_id=None))
    assert history.export_document()["films"] == [film(studio=None)]


def test_parts_lists_and_copies_may_be_text(engine):
    history = History(engine, kind(**EVERYTHING))
    several = sorted(key for key in KEYS if len(key) < 60)
    given = document(
        *(
            film(n, studio=None, genre=key, hall={"city": key, "place": 1}, actors=several)
            for n, key in enumerate(several)
        )
    )
    assert outcomes(history.import_document(given)) == (len(several), 0, 0)
    assert history.export_document()["films"] == given["films"]
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, len(several), 0)


def test_text_keys_are_compared_exactly(engine):
    history = History(engine, kind(**studio(required=True)))
    report = history.import_document(document(film(1, studio="Tail"), film(2, studio="tail  ")))
    assert outcomes(report) == (0, 0, 2)
    assert [problem.message for problem in report.problems] == [
        "Studio not found: Tail",
        "Studio not found: 'tail  '",
    ]


def test_a_key_to_fall_back_on_may_be_text(engine):
    with Session(engine) as session:
        session.add(Studio(name="new", former="old\n" * 60))
        session.commit()
    history = History(engine, kind(**studio(fallback="former", required=True)))
    given = document(film(studio="old\n" * 60))
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert history.export_document()["films"] == [film(studio="new")]


@pytest.mark.parametrize("key", ["a\x00b", "\ud800"])
def test_what_no_text_holds_is_a_problem(engine, key):
    history = History(engine, kind(**studio(required=True)))
    problems = history.check(document(film(studio=key)))
    assert codes_of(problems) == [("/films/0/studio", "schema")]


def test_the_json_schema_has_the_rule_of_text():
    history = History(None, kind(**EVERYTHING))
    properties = history.json_schema()["$defs"]["film"]["properties"]
    text = {"type": "string", "not": {"pattern": "\\x00"}}
    nullable = {"type": ["string", "null"], "not": {"type": "string", "pattern": "\\x00"}}
    assert {name: properties["studio"][name] for name in nullable} == nullable
    assert properties["actors"]["items"] == {**text, "maxLength": 60}
    assert properties["hall"]["properties"]["city"] == {**text, "maxLength": 60}
    assert "slug" not in history.json_schema()["$defs"]


@pytest.mark.parametrize("key", [" at the edges ", "a\ttab", "two\nlines", "", "x" * 5_000])
@pytest.mark.parametrize(
    ("slugs", "members"),
    [
        ({"studio": Slug("studio", key="name", required=True)}, {"studio": Studio}),
        ({"hall": Slug("hall", key=("city", "place"), required=True)}, {"hall": Hall}),
        ({"actors": SlugList("actors", key="name")}, {"actors": Actor}),
        ({"genre": Slug(allow_none=True)}, {"genre": str}),
    ],
)
def test_a_plain_slug_that_meets_a_text_key_names_the_option(sqlite_of, slugs, members, key):
    made = {
        Studio: lambda: Studio(name=key),
        Hall: lambda: Hall(city=key, place=1),
        Actor: lambda: [Actor(name=key)],
        str: lambda: key,
    }
    [(member, what)] = members.items()
    engine = sqlite_of(Base.metadata, Film(uuid=number(1), **{member: made[what]()}))
    with pytest.raises(ExportError, match=r"With text=True, Slug(List)? takes keys that are free text"):
        History(engine, kind(**slugs)).export_document()


def test_a_number_is_no_text_key():
    with pytest.raises(BindingError, match="text=True: place is not text"):
        History(None, kind(hall=Slug("hall", key="place", text=True)))


def make_films(session, count):
    for n in range(count):
        key = KEYS[n % len(KEYS)]
        parts = {"studio": Studio(name=key + number(n)), "hall": Hall(city=key[:20], place=n)}
        actors = [Actor(name=number(n) + each[:20]) for each in KEYS[: n % 4]]
        session.add(Film(uuid=number(n), genre=[key[:60], None][n % 2], actors=actors, **parts))


def test_the_conformance_kit_knows_text_keys(create):
    check_host(History(create(Base.metadata), kind(**EVERYTHING)), make_runs=make_films)


@pytest.mark.slow
def test_strategies_draw_text_keys():
    history = History(None, kind(**studio(required=True)))

    def has_free_text(document):
        return any(film["studio"] != film["studio"].strip() for film in document.get("films", ()))

    found = find(documents(history, slugs={}), has_free_text)
    jsonschema.Draft202012Validator(history.json_schema()).validate(found)
