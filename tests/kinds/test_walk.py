import pytest

from histio.kinds.bind import kind_of
from histio.kinds.walk import walk_record, walk_values
from histio.pointer import pointer
from tests.support.lab import StudySchema, Trial, Value, study, trial

STUDIES = kind_of(StudySchema).table
STUDY = study(trials=[trial(), trial(attempt=2, values=[{"value": 7}])])

PLACES = [
    ("Study", ""),
    ("Trial", "/trials/0"),
    ("Value", "/trials/0/values/0"),
    ("Value", "/trials/0/values/1"),
    ("Trial", "/trials/1"),
    ("Value", "/trials/1/values/0"),
]


def places(found):
    return [(table.mapper.class_.__name__, pointer(*steps)) for table, _, steps in found]


def test_a_record_comes_before_its_entries_and_an_entry_before_its_own():
    assert places(walk_record(STUDIES, STUDY)) == PLACES
    assert places(walk_values(STUDIES, STUDIES.schema.load(STUDY))) == PLACES


def test_every_record_is_the_one_at_its_steps():
    for _, record, steps in walk_record(STUDIES, STUDY, "studies", 0):
        at = {"studies": [STUDY]}
        for step in steps:
            at = at[step]
        assert record is at


def test_values_of_entries_are_the_loaded_ones():
    values = STUDIES.schema.load(STUDY)
    by_model = {table.mapper.class_: found for table, found, _ in walk_values(STUDIES, values)}
    assert by_model[Trial] is values["trials"][1]
    assert by_model[Value] is values["trials"][1]["values"][0]


@pytest.mark.parametrize("trials", [None, 5, "x", [], [5, None, ["x"]]])
def test_what_is_no_object_is_no_entry_of_a_record(trials):
    assert places(walk_record(STUDIES, STUDY | {"trials": trials})) == [("Study", "")]
    assert places(walk_record(STUDIES, {})) == [("Study", "")]


def test_an_entry_keeps_its_place_among_what_is_no_object():
    assert places(walk_record(STUDIES, STUDY | {"trials": [5, {}]}))[1] == ("Trial", "/trials/1")


def test_ledgers_that_were_not_loaded_have_no_entries():
    assert places(walk_values(STUDIES, {"trials": None})) == [("Study", "")]
