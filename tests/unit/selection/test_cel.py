"""Selection rules: what they read, what they refuse, and that they end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.selection.cel import MOST_CHARACTERS, compile_rule
from services.selection.errors import RuleError, RuleFailedError

CT: dict[str, Any] = {
    "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
    "00180050": {"vr": "DS", "Value": [1.25]},
    "00200013": {"vr": "IS", "Value": ["7"]},
    "00280010": {"vr": "US", "Value": [512]},
    "00280030": {"vr": "DS", "Value": [0.7, 0.7]},
}


@pytest.mark.parametrize(
    "rule",
    [
        'series.Modality == "CT" && series.instances >= 20',
        '"ORIGINAL" in series.ImageType && !("LOCALIZER" in series.ImageType)',
        'series.ImageType.exists(x, x == "AXIAL")',
        'series.Modality in ["CT", "MR"]',
        'series.Modality.matches("^C.$")',
        "series.Modality.matches(r'^C\\w$')",
        "series.SliceThickness > 1 && series.SliceThickness < 1.5",
        "1 < series.SliceThickness",
        "series.Rows == 512 && series.Rows == 512.0 && 511.5 < series.Rows",
        "series.InstanceNumber == 7",
        "size(series.PixelSpacing) == 2 && series.PixelSpacing[0] < 1",
        'series.PatientName.startsWith("Doe")',
    ],
)
def test_a_rule_that_holds_selects(rule: str) -> None:
    assert compile_rule(rule).selects(CT, 100)


@pytest.mark.parametrize(
    "rule",
    [
        'series.BodyPartExamined == "CHEST"',
        "series.GantryDetectorTilt <= 5",
        "series.GantryDetectorTilt > 5",
        "5 >= series.GantryDetectorTilt",
        "series.NumberOfFrames == 0",
        '"CONTRAST" in series.ScanOptions',
        'series.ContrastBolusAgent != ""',
        'series.ScanOptions.exists(x, x == "HELICAL")',
    ],
)
def test_a_missing_attribute_is_no_error_and_selects_nothing(rule: str) -> None:
    assert not compile_rule(rule).selects(CT, 100)
    assert not compile_rule(f'series.Modality == "CT" && {rule}').selects({}, 0)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("", "no CEL expression"),
        ("series.Modality ==", "no CEL expression"),
        ('series.Modalty == "CT"', "series.Modalty: there is no attribute"),
        ('series.PixelData == ""', "neither text nor numbers"),
        ('series.ReferencedSeriesSequence[0] == ""', "neither text nor numbers"),
        ('series["Modality"] == "CT"', "series is not followed by .keyword"),
        ("series.map(x, x) == []", "series is not followed by .keyword"),
        ("study.instances > 1", "there is no variable study"),
        ("has(series.Modality)", "there is no function has"),
        ('timestamp("2026-01-01T00:00:00Z") != null', "there is no function timestamp"),
        ('series.Modality.matches("(")', "no regular expression"),
        ("series.Modality.matches(series.PatientName)", "a string in quotes"),
        ('series.Modality.matches("a" + "b")', "a string in quotes"),
        ("series.ImageType.all(x, series.ImageType.all(y, x == y))", "a macro within a macro"),
        ("series.ImageType.all(x)", "takes a name and an expression"),
        ("(" * 60 + "true" + ")" * 60, "nested too deeply"),
        ("!" * 1000 + "true", "nested too deeply"),
        ('"' + "a" * MOST_CHARACTERS + '" == ""', "longer than"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_before_any_series(rule: str, why: str) -> None:
    with pytest.raises(RuleError, match=why):
        compile_rule(rule)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("series.Modality > 3", "TypeError"),
        ("series.PixelAspectRatio[0] == 1", "IndexError"),
        ("1 / 0 == 1", "ZeroDivisionError"),
        ("series.Modality", "NotABool"),
        ('"a" * 1000000000 == ""', "TypeError"),
    ],
)
def test_a_rule_that_fails_on_a_series_says_the_kind_of_error_and_no_value(rule: str, kind: str) -> None:
    with pytest.raises(RuleFailedError) as error:
        compile_rule(rule).selects(CT, 100)
    assert str(error.value) == kind
    assert error.value.__cause__ is None


def test_a_pattern_that_would_keep_a_backtracking_engine_busy_ends() -> None:
    series = {"0008103E": {"vr": "LO", "Value": ["a" * 10_000 + "!"]}}
    assert not compile_rule('series.SeriesDescription.matches("^(a+)+$")').selects(series, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["vr", "Value", "Alphabetic"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(CT)), JSON))
def test_whatever_the_archive_answers_a_rule_is_true_or_false(attributes: dict[str, Any]) -> None:
    rule = compile_rule(
        'series.Modality == "CT" && "ORIGINAL" in series.ImageType && series.SliceThickness <= 3'
        ' && series.InstanceNumber > 0 && series.Rows >= 64 && series.PatientName != "x"'
    )
    assert rule.selects(attributes, 20) in (True, False)
