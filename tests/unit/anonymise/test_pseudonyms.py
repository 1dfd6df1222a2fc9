"""Keyed pseudonyms."""

import re

import pytest

from services.anonymise.engine.pseudonyms import Pseudonyms, is_well_known


def test_a_uid_gets_the_same_pseudonym_at_any_time() -> None:
    first, second = Pseudonyms(b"k" * 32), Pseudonyms(b"k" * 32)
    assert first.uid("1.2.3") == second.uid("1.2.3") == "2.25.330128418958304695822425440426586043573"


def test_a_pseudonym_is_a_legal_uid() -> None:
    pseudonyms = Pseudonyms(bytes(range(32)))
    for number in range(500):
        uid = pseudonyms.uid(f"1.2.{number}")
        assert len(uid) <= 64 and re.fullmatch(r"2\.25\.(0|[1-9]\d*)", uid)


def test_another_key_gives_another_pseudonym() -> None:
    assert Pseudonyms(b"a" * 32).uid("1.2.3") != Pseudonyms(b"b" * 32).uid("1.2.3")
    assert Pseudonyms(b"a" * 32).patient_id("7") != Pseudonyms(b"b" * 32).patient_id("7")


def test_a_patient_id_says_that_it_is_one_of_ours_and_fits_its_vr() -> None:
    assert re.fullmatch(r"PLX-[A-Z2-7]{16}", Pseudonyms(b"k" * 32).patient_id("4711"))


def test_the_key_is_never_shown() -> None:
    assert "kkk" not in repr(Pseudonyms(b"k" * 32))


def test_a_key_of_another_length_is_no_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")


def test_only_what_the_standard_registers_is_well_known() -> None:
    assert is_well_known("1.2.840.10008.5.1.4.1.1.2")
    assert not is_well_known("1.2.840.10008.5.1.4.1.1.2.4711.0815")
    assert not is_well_known("1.3.6.1.4.1.9.1")
