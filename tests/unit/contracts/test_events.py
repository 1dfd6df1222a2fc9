"""Every fact goes over the wire and comes back, and has one place to be said."""

from __future__ import annotations

import dataclasses
from dataclasses import fields

import pytest

from services.contracts import events, subjects
from services.contracts.events import Event, Figure, InputSeries, LeftOut, Result, UnreadableEventError

PARTS = (Event, Figure, InputSeries, LeftOut, Result)
SAID = [cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event) and cls not in PARTS]


def sample(cls: type[Event]) -> Event:
    """An event in which every field differs from its default."""
    values: dict[str, object] = {}
    for number, field in enumerate(fields(cls), start=1):
        match field.type:
            case "int":
                values[field.name] = number
            case "bytes":
                values[field.name] = b"\x00\xff"
            case "float":
                values[field.name] = number + 0.5
            case "bool":
                values[field.name] = True
            case "tuple[Result, ...]":
                values[field.name] = (sample(Result), sample(Result))
            case "tuple[LeftOut, ...]":
                values[field.name] = (sample(LeftOut), sample(LeftOut))
            case "tuple[InputSeries, ...]":
                values[field.name] = (sample(InputSeries), sample(InputSeries))
            case "tuple[Figure, ...]":
                values[field.name] = (sample(Figure), sample(Figure))
            case "tuple[str, ...]":
                values[field.name] = (f"{field.name} é", "another")
            case _:
                values[field.name] = f"{field.name} é"
    return cls(**values)


def test_the_facts_of_the_design_are_all_here() -> None:
    assert {cls.subject for cls in SAID} == {
        value for name, value in vars(subjects).items() if name.isupper() and isinstance(value, str)
    } - {subjects.DEAD}


@pytest.mark.parametrize("cls", SAID, ids=lambda cls: cls.__name__)
def test_every_event_comes_back_from_its_bytes(cls: type[Event]) -> None:
    event = sample(cls)
    assert cls.from_bytes(event.to_bytes()) == event


@pytest.mark.parametrize("cls", SAID, ids=lambda cls: cls.__name__)
def test_every_field_is_on_the_wire(cls: type[Event]) -> None:
    names = {field.name for field in cls.message().DESCRIPTOR.fields}
    assert {field.name for field in fields(cls)} == names


@pytest.mark.parametrize("cls", SAID, ids=lambda cls: cls.__name__)
def test_the_same_event_has_the_same_bytes(cls: type[Event]) -> None:
    assert sample(cls).to_bytes() == sample(cls).to_bytes()


@pytest.mark.parametrize("cls", SAID, ids=lambda cls: cls.__name__)
def test_every_event_names_its_schema_and_cannot_be_changed(cls: type[Event]) -> None:
    event = sample(cls)
    assert event.schema == f"plexus.events.v1.{cls.__name__}"
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, fields(cls)[0].name, "another")


@pytest.mark.parametrize("cls", SAID, ids=lambda cls: cls.__name__)
def test_bytes_of_something_else_are_unreadable(cls: type[Event]) -> None:
    with pytest.raises(UnreadableEventError, match=cls.__name__):
        cls.from_bytes(b"\xff\xff\xff not a message")


def test_every_subject_is_kept_by_exactly_one_stream_but_the_one_that_may_be_lost() -> None:
    kept = [subject for stream in subjects.STREAMS for subject in stream.subjects]
    assert len(kept) == len(set(kept))
    assert {cls.subject for cls in SAID} - {one.removesuffix(".*") for one in kept} == {subjects.JOB_PROGRESSED}
    assert f"{subjects.DEAD}.>" in kept


def test_what_names_an_original_study_is_said_in_the_hospital_zone_alone() -> None:
    identifying = {"study_instance_uid", "series_instance_uid", "sop_instance_uid"}
    for cls in SAID:
        if cls.subject in subjects.COMPUTE.subjects or cls.subject == subjects.JOB_PROGRESSED:
            assert not identifying & {field.name for field in fields(cls)}
