"""What the bridge asks of the archive, on fakes: patients out of studies, what a retrieval names, what is safe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from services.archive.errors import IllegalUid, TooManyInstances
from services.archive.handlers import bridged
from services.archive.handlers.bridged import Held, Inquiry, Named, Rank
from services.chassis.principal import Principal
from services.dicom.dicom_json import dumps
from services.dicom.matching import AnyOf
from services.store.errors import ObjectMissing
from services.store.holdings import Holding
from services.store.model import Found, InstanceRow, Level, Query, SeriesRow, StudyRow

CALLER = Principal("STATION", proved_by="ae-title")


def study(patient: str, number: int, *, name: str = "A^B", issuer: str = "", born: str = "") -> dict[str, Any]:
    return {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
        "00100020": {"vr": "LO", "Value": [patient]} if patient else {"vr": "LO"},
        "00100021": {"vr": "LO", "Value": [issuer]} if issuer else {"vr": "LO"},
        "00100030": {"vr": "DA", "Value": [born]} if born else {"vr": "DA"},
        "0020000D": {"vr": "UI", "Value": [f"1.{number}"]},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [10]},
    }


def test_studies_of_one_patient_are_one_patient_and_counted() -> None:
    (patient,) = bridged.patients([study("P", 1, name="New"), study("P", 2, name="Old")])
    assert patient["00100010"]["Value"] == [{"Alphabetic": "New"}]
    assert "0020000D" not in patient
    assert [patient[tag]["Value"] for tag in ("00201200", "00201202", "00201204")] == [[2], [4], [20]]


def test_the_same_id_of_another_issuer_or_in_another_case_is_another_patient() -> None:
    studies = [study("P", 1), study("P", 2, issuer="Elsewhere"), study("p", 3)]
    assert len(bridged.patients(studies)) == 3


def test_without_an_id_only_the_same_name_and_birth_date_are_one_patient() -> None:
    studies = [study("", 1, born="19700101"), study("", 2, born="19700101"), study("", 3, born="19800101")]
    assert [patient["00201200"]["Value"] for patient in bridged.patients(studies)] == [[2], [1]]


class Events:
    """Remembers audit records."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def say(self, event: Any, *, message_id: str | None = None) -> None:
        """Remember."""
        self.said.append(event)


class Index:
    """One patient with two studies of one series each."""

    def __init__(self, instances: int = 2) -> None:
        self.instances = instances
        self.queries: list[Query] = []

    async def search(self, query: Query) -> list[Found]:
        """Studies 1.1 (of `P`) and 1.2 (of `p`), or the series of a relational retrieval."""
        self.queries.append(query)
        if query.level is Level.SERIES:
            return [Found(series=SeriesRow("1.1", "1.1.1", "CT", 2, 1, b"{}"))]
        ids = {"1.1": "P", "1.2": "p"}
        return [
            Found(study=StudyRow(uid, ("CT",), (), 1, 2, 1, dumps({"00100020": {"vr": "LO", "Value": [patient]}})))
            for uid, patient in ids.items()
        ]

    async def study_series(self, study_instance_uid: str) -> list[SeriesRow]:
        """Two series."""
        return [SeriesRow(study_instance_uid, f"{study_instance_uid}.{n}", "CT", 2, 1, b"{}") for n in (1, 2)]

    async def series_instances(self, study_instance_uid: str, series_instance_uid: str) -> list[InstanceRow]:
        """As many as it was made with."""
        uids = (f"{series_instance_uid}.{number}" for number in range(self.instances))
        now = datetime.now(UTC)
        return [
            InstanceRow(study_instance_uid, series_instance_uid, uid, "1", "1", 1, 1, 1, 8, 1, "00", 9, now)
            for uid in uids
        ]


class Holdings:
    """Knows a few."""

    async def held(self, sop_instance_uids: Sequence[str]) -> dict[str, Holding]:
        """Those that begin with 1.1.1."""
        return {
            uid: Holding("1.1", "1.1.1", uid, "1.2.3", "1.2", 1, uid, 100)
            for uid in sop_instance_uids
            if uid.startswith("1.1.1.")
        }


class Objects:
    """One object is gone, one is cut short, one has grown."""

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """The end of it."""
        assert (offset, length) == (99, 2)
        match digest:
            case "1.1.1.7":
                raise ObjectMissing
            case "1.1.1.8":
                return b""
            case "1.1.1.9":
                return b"xx"
            case _:
                return b"x"


async def located(named: Named, index: Index | None = None) -> list[str]:
    events: Any = Events()
    rows = await bridged.locate(
        named, index=index or Index(), holdings=Holdings(), events=events, caller=CALLER  # type: ignore[arg-type]  # fakes
    )  # fmt: skip
    (record,) = events.said
    assert (record.action, record.caller, record.instances) == ("query", "STATION", len(rows))
    return [row.sop_instance_uid for row in rows]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (Named(Rank.PATIENT, "P"), ["1.1.1.0", "1.1.1.1", "1.1.2.0", "1.1.2.1"]),
        (Named(Rank.STUDY, "P", ("1.2",)), ["1.1.1.0", "1.1.1.1", "1.1.2.0", "1.1.2.1"]),
        (Named(Rank.STUDY, "", ("1.2",)), ["1.2.1.0", "1.2.1.1", "1.2.2.0", "1.2.2.1"]),
        (Named(Rank.SERIES, "", ("1.2",), ("1.2.2",)), ["1.2.2.0", "1.2.2.1"]),
        (Named(Rank.SERIES, "", (), ("1.1.1",)), ["1.1.1.0", "1.1.1.1"]),
        (Named(Rank.IMAGE, "", ("1.1",), ("1.1.1",), ("1.1.1.5", "1.1.1.5", "1.9")), ["1.1.1.5"]),
        (Named(Rank.IMAGE, "", ("1.2",), ("1.1.1",), ("1.1.1.5",)), []),
        (Named(Rank.IMAGE, "", ("1.1",), ("1.1.2",), ("1.1.1.5",)), []),
        (Named(Rank.IMAGE, "p", (), (), ("1.1.1.5",)), []),
        (Named(Rank.PATIENT, "nobody"), []),
    ],
)
async def test_a_retrieval_finds_what_it_names_and_nothing_of_another_patient(named: Named, found: list[str]) -> None:
    assert await located(named) == found


async def test_a_patient_id_is_looked_up_by_the_index_and_compared_as_it_is() -> None:
    index = Index()
    assert await located(Named(Rank.PATIENT, "p"), index) == ["1.2.1.0", "1.2.1.1", "1.2.2.0", "1.2.2.1"]
    assert index.queries[0].conditions == {"PatientID": AnyOf(("p",))}


async def test_more_instances_than_can_be_counted_are_refused() -> None:
    with pytest.raises(TooManyInstances):
        await located(Named(Rank.STUDY, "", ("1.2",)), Index(instances=40_000))


def test_a_retrieval_by_what_is_no_uid_is_refused() -> None:
    with pytest.raises(IllegalUid):
        Named(Rank.STUDY, "", ("1.*",))


async def test_an_instance_is_safe_when_it_is_of_its_class_and_its_bytes_are_whole() -> None:
    references = [
        ("1.2.3", "1.1.1.1"), ("1.2.4", "1.1.1.1"), ("1.2.3", "9.9"),
        ("1.2.3", "1.1.1.7"), ("1.2.3", "1.1.1.8"), ("1.2.3", "1.1.1.9"),
    ]  # fmt: skip
    events: Any = Events()
    objects: Any = Objects()
    held = await bridged.check(references, holdings=Holdings(), objects=objects, events=events, caller=CALLER)
    assert held == [Held.HELD, Held.OTHER_CLASS, Held.ABSENT, Held.DAMAGED, Held.DAMAGED, Held.DAMAGED]
    (record,) = events.said
    assert (record.detail, record.instances) == ("commitment", 6)


async def test_keys_below_the_patient_are_passed_over_with_a_warning_at_its_level() -> None:
    class Studies(Index):
        async def search(self, query: Query) -> list[Found]:
            """None."""
            return []

    events: Any = Events()
    inquiry = Inquiry(Rank.PATIENT, (("PatientName", "A*"),), frozenset({"00100010", "00080020", "00201200"}))
    index: Any = Studies()
    found = await bridged.find(inquiry, max_results=10, index=index, events=events, caller=CALLER)
    assert found.warnings == ("the key StudyDate is not of the patient level",)
