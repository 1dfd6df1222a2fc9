"""The index on a real PostgreSQL: what a search finds, compared with the slow and obvious model of PS3.4 C.2.2.2."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis import database
from services.chassis.health import Health
from services.dicom import dicom_json, uids
from services.dicom.attributes import tag_of, vr_of
from services.dicom.matching import Condition, MatchingError, parse_condition
from services.dicom.part10 import parse_instance
from services.dicom.reasons import InstanceError
from services.store import index
from services.store.model import Entry, Level, Query, Recorded, Written
from services.store.reader import IndexReader
from services.store.search import SEARCHABLE
from tests.matching_model import answers
from tests.unit.ingest.made import made


def entry(**attributes: Any) -> Entry:
    file = made(**attributes)
    parsed = parse_instance(file)
    return Entry.of(parsed, digest=f"{abs(hash(file)):064x}", size=len(file))


async def write(pool: asyncpg.Pool, entries: Iterable[Entry]) -> list[Recorded]:
    async with pool.acquire() as connection, connection.transaction():
        return await index.record(connection, list(entries))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    await database.migrate(database_url, package="services.store", schema="index")
    # The reader names its schema: it has to find its tables from another search path.
    async with database.connected(database_url, schema="archive", size=4, health=Health()) as opened:
        yield opened


@pytest.fixture
def reader(pool: asyncpg.Pool) -> IndexReader:
    return IndexReader(pool)


async def found(reader: IndexReader, **keys: str) -> set[str]:
    conditions = {keyword: parse_condition(keyword, text) for keyword, text in keys.items()}
    rows = await reader.search(Query(Level.STUDY, conditions=conditions))
    return {row.study.study_instance_uid for row in rows if row.study}


NAMES = [
    "Müller^Jürgen",
    "MULLER^JURGEN^^Dr.",
    "Гусева^Анна",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "=山田^花子",
    "Smith^John",
    "Smithson^Ann",
    "100%_sure^A\\B".replace("\\", ""),
    "",
]


async def test_names_answer_in_every_group_without_case_and_accents(pool: asyncpg.Pool, reader: IndexReader) -> None:
    studies = {name: uids.new_uid() for name in NAMES}
    await write(
        pool,
        [
            entry(SpecificCharacterSet="ISO_IR 192", PatientName=name, StudyInstanceUID=uid)
            for name, uid in studies.items()
        ],
    )

    async def names(pattern: str) -> set[str]:
        answered = await found(reader, PatientName=pattern)
        return {name for name, uid in studies.items() if uid in answered}

    assert await names("muller*") == {"Müller^Jürgen", "MULLER^JURGEN^^Dr."}
    assert await names("MÜLLER^JÜRGEN") == {"Müller^Jürgen"}
    assert await names("гусева*") == {"Гусева^Анна"}
    assert await names("山田*") == {"Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田^花子"}
    assert await names("*たろう") == {"Yamada^Tarou=山田^太郎=やまだ^たろう"}
    assert await names("Smith") == set()
    assert await names("smith*") == {"Smith^John", "Smithson^Ann"}
    assert await names("smith^*") == {"Smith^John"}
    assert await names("s?ith^j*n") == {"Smith^John"}
    assert await names("100%_s*") == {"100%_sure^AB"}
    assert await names("1%*") == set()
    assert await names("*") == set(NAMES)


ALPHABET = "aAbBäéяЯ山^= 1%_.('"
TEXTS = st.text(ALPHABET, max_size=6)
PATTERNS = st.text(ALPHABET + "*?", min_size=1, max_size=6) | st.just('""')
DAYS = st.sampled_from(["", "19991231", "20240101", "20240229", "20240301"])
TIMES = st.sampled_from(["", "00", "0959", "10", "101559.75", "235959.999999"])
NUMBERS = st.sampled_from(["", "7", "70.5", "71"])


def ranges(moments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    known = moments.filter(bool)
    both = st.tuples(known, known).map(lambda pair: "-".join(sorted(pair)))
    return known | both | known.map(lambda low: f"{low}-") | known.map(lambda high: f"-{high}")


KINDS: dict[str, tuple[st.SearchStrategy[str], st.SearchStrategy[str]]] = {
    **dict.fromkeys(("PatientName", "ReferringPhysicianName", "PhysiciansOfRecord"), (TEXTS, PATTERNS)),
    **dict.fromkeys(("PatientID", "StudyDescription", "AccessionNumber", "PatientSex"), (TEXTS, PATTERNS)),
    **dict.fromkeys(("InstitutionName", "OtherPatientIDs", "PatientAge"), (TEXTS, PATTERNS)),
    **dict.fromkeys(("StudyDate", "PatientBirthDate"), (DAYS, ranges(DAYS))),
    **dict.fromkeys(("StudyTime", "PatientBirthTime"), (TIMES, ranges(TIMES))),
    "PatientWeight": (NUMBERS, NUMBERS.filter(bool)),
    **dict.fromkeys(("SeriesDescription", "Modality", "ProtocolName", "OperatorsName"), (TEXTS, PATTERNS)),
    "SeriesTime": (TIMES, ranges(TIMES)),
}
MULTIPLE = ("OtherPatientIDs", "PhysiciansOfRecord", "OperatorsName")
ASKED = st.sampled_from(sorted(KINDS)).flatmap(
    lambda keyword: st.tuples(st.just(keyword), st.lists(st.lists(KINDS[keyword][0], max_size=2), min_size=1,
                                                         max_size=10), KINDS[keyword][1])
)  # fmt: skip


def person(text: str) -> dict[str, str]:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    return {group: part.strip() for group, part in groups if part.strip()}


def bare(keyword: str, texts: list[str]) -> Entry:
    """An entry that has this one attribute."""
    tag, vr = tag_of(keyword) or "", vr_of(tag_of(keyword) or "")
    texts = texts if keyword in MULTIPLE else texts[:1]
    values = [value for text in texts if (value := person(text) if vr == "PN" else text.strip())]
    attributes = {tag: {"vr": vr, "Value": values}} if values else {}
    study, series, instance, sop_class = (uids.new_uid() for _ in range(4))
    return Entry(study, series, instance, sop_class, "1.2", "0" * 64, 1, b"{}", b"", attributes)


class Everything(dict[int, float]):
    def get(self, _key: int, _default: Any = None) -> Any:
        return 1.0


class EveryTermIsCommon(IndexReader):
    """Reads as if terms were of no use: the other of the two ways to find the same."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self._shares._known, self._shares._until = {level: Everything() for level in Level}, math.inf


async def found_in_each_way(connection: Any, keyword: str, condition: Condition) -> list[set[str]]:
    """The studies that a search finds, with terms and without, by the level of the key and from the studies."""
    told = []
    for reader in (IndexReader(connection), EveryTermIsCommon(connection)):
        for level in (Level.STUDY, Level.SERIES):
            rows = await reader.search(Query(level, conditions={keyword: condition}))
            told.append({row.study.study_instance_uid for row in rows if row.study})
    return told


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=ASKED, fuzzy=st.booleans(), empty=st.booleans())
async def test_what_a_search_finds_is_what_the_model_finds(
    pool: asyncpg.Pool, asked: tuple[str, list[list[str]], str], fuzzy: bool, empty: bool
) -> None:
    keyword, texts, pattern = asked
    vr = vr_of(tag_of(keyword) or "")
    try:
        condition = parse_condition(keyword, pattern, fuzzy=fuzzy, empty=empty)
    except MatchingError:
        return
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            entries = [bare(keyword, each) for each in texts]
            await index.record(connection, entries)
            told = await found_in_each_way(connection, keyword, condition)
        finally:
            await transaction.rollback()

    expected = {
        each.study_instance_uid
        for each in entries
        if answers(vr, pattern, dicom_json.texts(each.attributes, keyword), fuzzy=fuzzy, empty=empty)
    }
    assert told == [expected] * 4


async def test_all_keys_of_a_sequence_have_to_be_met_by_one_item(pool: asyncpg.Pool, reader: IndexReader) -> None:
    def item(step: str, procedure: str) -> dict[str, Any]:
        return {"00400009": {"vr": "SH", "Value": [step]}, "00401001": {"vr": "SH", "Value": [procedure]}}

    one = replace(
        bare("Modality", ["CT"]),
        attributes={"00400275": {"vr": "SQ", "Value": [item("S1", "P1"), item("S2", "P2")]}},
    )
    await write(pool, [one])

    async def matched(**keys: str) -> bool:
        conditions = {f"RequestAttributesSequence.{key}": parse_condition(key, text) for key, text in keys.items()}
        return bool(await reader.search(Query(Level.SERIES, conditions=conditions)))

    assert await matched(ScheduledProcedureStepID="s1", RequestedProcedureID="P*")
    assert await matched(RequestedProcedureID="P2")
    assert not await matched(ScheduledProcedureStepID="S1", RequestedProcedureID="P2")
    assert not await matched(RequestedProcedureID="P3")


async def test_dates_of_a_query_may_be_of_another_time_zone(pool: asyncpg.Pool, reader: IndexReader) -> None:
    there, unknown = uids.new_uid(), uids.new_uid()
    at = {"StudyDate": "20240101", "StudyTime": "0030", "SeriesDate": "20240101", "SeriesTime": "0030"}
    await write(
        pool,
        [entry(StudyInstanceUID=there, TimezoneOffsetFromUTC="+0100", **at), entry(StudyInstanceUID=unknown, **at)],
    )

    async def on(minutes: int | None, **keys: str) -> set[str]:
        conditions = {keyword: parse_condition(keyword, text) for keyword, text in keys.items()}
        query = Query(Level.STUDY, conditions=conditions, offset_from_utc=minutes)
        return {row.study.study_instance_uid for row in await reader.search(query) if row.study}

    assert await on(None, StudyDate="20240101") == {there, unknown}
    assert await on(60, StudyDate="20240101") == {there, unknown}
    assert await on(0, StudyDate="20240101") == {unknown}
    assert await on(0, StudyDate="20231231") == {there}
    assert await on(0, StudyDate="20231201-20231231", StudyTime="2300-2330") == {there}
    assert await on(-300, SeriesTime="1830") == {there}


async def test_several_values_have_to_be_there_all(pool: asyncpg.Pool, reader: IndexReader) -> None:
    both, one = uids.new_uid(), uids.new_uid()
    await write(pool, [entry(StudyInstanceUID=both, Modality=each) for each in ("CT", "PT")])
    await write(pool, [entry(StudyInstanceUID=one, Modality="CT")])

    condition = parse_condition("ModalitiesInStudy", "CT\\PT", multiple=True)
    rows = await reader.search(Query(Level.STUDY, conditions={"ModalitiesInStudy": condition}))

    assert [row.study.study_instance_uid for row in rows if row.study] == [both]


async def test_a_study_answers_to_keys_of_one_series_or_instance_of_it(pool: asyncpg.Pool, reader: IndexReader) -> None:
    study, instance = uids.new_uid(), uids.new_uid()
    await write(
        pool,
        [
            entry(StudyInstanceUID=study, Modality="CT", SeriesDescription="axial", SOPInstanceUID=instance),
            entry(StudyInstanceUID=study, Modality="MR", SeriesDescription="localizer"),
            entry(Modality="CT"),
        ],
    )

    assert await found(reader, Modality="MR") == {study}
    assert await found(reader, Modality="CT", SeriesDescription="ax*") == {study}
    assert await found(reader, Modality="CT", SeriesDescription="local*") == set()
    assert await found(reader, SOPInstanceUID=instance, Modality="CT") == {study}
    assert await found(reader, SOPInstanceUID=instance, Modality="MR") == set()


CHARSETS = sorted(Path("/work/shared/data/charsets").glob("*.dcm"))


@pytest.mark.skipif(not CHARSETS, reason="the shared data is not here")
async def test_names_of_every_character_set_are_found(pool: asyncpg.Pool, reader: IndexReader) -> None:
    entries = []
    for number, file in enumerate(CHARSETS):
        with suppress(InstanceError):  # two of them are no instances
            entries.append(Entry.of(parse_instance(file.read_bytes()), digest=f"{number:064x}", size=1))
    await write(pool, entries)

    for each in entries:
        (name,) = dicom_json.texts(each.attributes, "PatientName") or ("",)
        for group in filter(None, name.split("=")):
            assert "\ufffd" not in group
            for key in (group, f"{group[:2].upper()}*", f"*{group[1:4].lower()}*"):
                assert each.study_instance_uid in await found(reader, PatientName=key), key


async def test_dates_and_times_answer_by_range(pool: asyncpg.Pool, reader: IndexReader) -> None:
    days = {day: uids.new_uid() for day in ("20231231", "20240101", "20240229", "20240301", "")}
    await write(pool, [entry(StudyInstanceUID=uid, StudyDate=day or None) for day, uid in days.items()])

    async def on(text: str) -> set[str]:
        answered = await found(reader, StudyDate=text)
        return {day for day, uid in days.items() if uid in answered}

    assert await on("20240101") == {"20240101"}
    assert await on("20240101-20240229") == {"20240101", "20240229"}
    assert await on("-20240101") == {"20231231", "20240101"}
    assert await on("20240229-") == {"20240229", "20240301"}
    assert await on("20240302-") == set()


async def test_a_less_precise_time_covers_all_that_begins_with_it(pool: asyncpg.Pool, reader: IndexReader) -> None:
    times = {time: uids.new_uid() for time in ("0959", "10", "101559.75", "1016")}
    await write(pool, [entry(StudyInstanceUID=uid, StudyTime=time) for time, uid in times.items()])

    async def at(text: str) -> set[str]:
        answered = await found(reader, StudyTime=text)
        return {time for time, uid in times.items() if uid in answered}

    assert await at("1000-1015") == {"10", "101559.75"}
    assert await at("101559.75") == {"101559.75"}
    assert await at("-0959") == {"0959"}


async def test_modalities_in_study_are_those_of_its_series(pool: asyncpg.Pool, reader: IndexReader) -> None:
    study = uids.new_uid()
    await write(pool, [entry(StudyInstanceUID=study, Modality="CT")])
    await write(pool, [entry(StudyInstanceUID=study, Modality="SEG"), entry(Modality="MR")])

    assert await found(reader, ModalitiesInStudy="SEG") == {study}
    assert await found(reader, ModalitiesInStudy="CT,US") == {study}
    assert await found(reader, ModalitiesInStudy="S*") == {study}
    (row,) = await reader.search(Query(Level.STUDY, study_instance_uid=study))
    assert row.study is not None
    assert (row.study.modalities, row.study.series, row.study.instances) == (("CT", "SEG"), 2, 2)


async def test_rows_above_come_with_an_answer_unless_the_path_names_them(
    pool: asyncpg.Pool, reader: IndexReader
) -> None:
    one = entry()
    await write(pool, [one])
    study, series = one.study_instance_uid, one.series_instance_uid

    def parts(found: list[Any]) -> list[tuple[bool, bool, bool]]:
        return [(f.study is not None, f.series is not None, f.instance is not None) for f in found]

    assert parts(await reader.search(Query(Level.STUDY))) == [(True, False, False)]
    assert parts(await reader.search(Query(Level.STUDY, study))) == [(True, False, False)]
    assert parts(await reader.search(Query(Level.SERIES))) == [(True, True, False)]
    assert parts(await reader.search(Query(Level.SERIES, study))) == [(False, True, False)]
    assert parts(await reader.search(Query(Level.INSTANCE))) == [(True, True, True)]
    assert parts(await reader.search(Query(Level.INSTANCE, study))) == [(False, True, True)]
    assert parts(await reader.search(Query(Level.INSTANCE, study, series))) == [(False, False, True)]
    assert parts(await reader.search(Query(Level.INSTANCE, uids.new_uid()))) == []


async def test_every_searchable_keyword_is_a_statement_that_runs(reader: IndexReader) -> None:
    for level, keywords in SEARCHABLE.items():
        for keyword in keywords:
            for text in ("1.2.3", "20240101-20240201", "A?bc*d"):
                try:
                    condition = parse_condition(keyword, text, fuzzy=True)
                except MatchingError:
                    continue
                query = Query(level, conditions={keyword: condition}, offset_from_utc=0)
                assert await reader.search(query) == []


async def test_a_keyword_that_is_not_searchable_is_passed_over(pool: asyncpg.Pool, reader: IndexReader) -> None:
    await write(pool, [entry()])

    assert len(await reader.search(Query(Level.STUDY, conditions={"KVP": parse_condition("Modality", "x")}))) == 1


async def test_series_and_instances_come_in_the_order_of_their_numbers(pool: asyncpg.Pool, reader: IndexReader) -> None:
    study, series = uids.new_uid(), uids.new_uid()
    numbers = [3, 1, None, 10, 2]
    await write(pool, [entry(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n) for n in numbers])
    await write(pool, [entry(StudyInstanceUID=study, SeriesNumber=n) for n in (12, 0)])

    rows = await reader.series_instances(study, series)
    metadata = await reader.series_metadata(study, series)

    assert [row.instance_number for row in rows] == [1, 2, 3, 10, None]
    assert metadata is not None
    told = [dicom_json.text(dicom_json.loads(item), "SOPInstanceUID") for item in metadata.instances]
    assert told == [row.sop_instance_uid for row in rows]
    listed = [dicom_json.text(dicom_json.loads(s.attributes), "SeriesNumber") for s in await reader.study_series(study)]
    assert listed == ["0", "1", "12"]


async def test_pages_of_a_list_do_not_overlap_and_the_newest_study_comes_first(
    pool: asyncpg.Pool, reader: IndexReader
) -> None:
    days = [f"202401{day:02}" for day in range(1, 10)]
    await write(pool, [entry(StudyDate=day) for day in days])

    pages = [await reader.search(Query(Level.STUDY, limit=4, offset=offset)) for offset in (0, 4, 8, 12)]

    told = [dicom_json.text(dicom_json.loads(f.study.attributes), "StudyDate") for p in pages for f in p if f.study]
    assert told == days[::-1]


async def test_what_is_not_there_is_nothing(reader: IndexReader) -> None:
    assert await reader.series("1.2", "1.3") is None
    assert await reader.instance("1.2", "1.3", "1.4") is None
    assert await reader.series_metadata("1.2", "1.3") is None
    assert await reader.series_instances("1.2", "1.3") == []
    assert await reader.study_series("1.2") == []


async def test_the_first_instance_tells_of_the_patient(pool: asyncpg.Pool, reader: IndexReader) -> None:
    study = uids.new_uid()
    await write(pool, [entry(StudyInstanceUID=study, PatientName="First^Name")])
    await write(pool, [entry(StudyInstanceUID=study, PatientName="Second^Name")])

    (row,) = await reader.search(Query(Level.STUDY, study))

    assert row.study is not None
    assert dicom_json.text(dicom_json.loads(row.study.attributes), "PatientName") == "First^Name"
    assert row.study.instances == 2


async def test_one_batch_may_hold_the_same_uid_several_times(pool: asyncpg.Pool) -> None:
    uid = uids.new_uid()
    first, second = entry(SOPInstanceUID=uid), entry(SOPInstanceUID=uid)

    results = await write(pool, [first, first, second, entry()])

    assert [result.written for result in results] == [
        Written.STORED,
        Written.UNCHANGED,
        Written.KEPT_FIRST,
        Written.STORED,
    ]
    assert await pool.fetchval("SELECT count(*) FROM index.instance") == 2
    assert await pool.fetchval("SELECT count(*) FROM index.conflict") == 1


async def test_counts_are_right_for_a_batch_of_many_series_and_classes(pool: asyncpg.Pool, reader: IndexReader) -> None:
    study, series = uids.new_uid(), [uids.new_uid() for _ in range(3)]
    entries = [
        entry(
            StudyInstanceUID=study, SeriesInstanceUID=series[n % 3], SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{2 + n % 2}"
        )
        for n in range(12)
    ]
    await write(pool, entries)

    (row,) = await reader.search(Query(Level.STUDY, study))

    assert row.study is not None
    assert (row.study.series, row.study.instances) == (3, 12)
    assert row.study.sop_classes == ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.3")
    listed = await reader.study_series(study)
    assert [each.instances for each in listed] == [4] * 3
    # One number is never given to two changes.
    assert len({each.change for each in listed}) == 3


async def test_one_series_uid_in_two_studies_is_two_series(pool: asyncpg.Pool, reader: IndexReader) -> None:
    series = uids.new_uid()
    one, other = entry(SeriesInstanceUID=series), entry(SeriesInstanceUID=series)
    await write(pool, [one, other])

    assert len(await reader.series_instances(one.study_instance_uid, series)) == 1
    assert len(await reader.series_instances(other.study_instance_uid, series)) == 1


async def test_a_writer_that_lost_a_race_is_told_to_begin_again(pool: asyncpg.Pool) -> None:
    contested = entry()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await index.record(connection, [contested])
        second = asyncio.create_task(write(pool, [contested]))
        await asyncio.sleep(0.2)
        await transaction.commit()

    with pytest.raises(index.RacedError):
        await second
    (again,) = await write(pool, [contested])
    assert again.written is Written.UNCHANGED
    assert await pool.fetchval("SELECT count(*) FROM index.study") == 1
