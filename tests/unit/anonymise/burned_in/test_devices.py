"""The table of device rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.anonymise.burned_in.devices import Device, Rule, read_rules, rule_for, shipped_rules
from services.anonymise.burned_in.model import Box
from services.anonymise.errors import DeviceRulesError

HEAD = "manufacturer,model,software,modality,rows,columns,action,masks,note\n"
SCANNER = Device("GE MEDICAL SYSTEMS", "Logiq E9", "R5.1", "US", 720, 960)


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "devices.csv"
    path.write_text("# ours\n" + HEAD + "\n".join(rows) + "\n")
    return path


def test_the_first_row_that_fits_rules(tmp_path: Path) -> None:
    rules = read_rules(
        table(
            tmp_path,
            "GE*,LOGIQ*,,US,600,,mask,0 0 10 10,another size",
            'ge medical systems,logiq e?,R5*,US,720,960,mask,"0 0 960 50; -100 -20 100 20",',
            "GE*,LOGIQ*,,,,,clean,,",
        )
    )
    rule = rule_for(SCANNER, rules)
    assert rule is not None and rule.action is Rule.MASK
    assert rule.placed(SCANNER) == (Box(0, 0, 960, 50), Box(860, 700, 100, 20))
    assert rule_for(Device("Other", "", "", "US", 1, 1), rules) is None


@pytest.mark.parametrize(
    "row",
    [
        "GE*,,,US,,,mask,,no rectangle",
        "GE*,,,US,,,clean,,clean for a whole manufacturer",
        "*,*,,US,,,clean,,clean for all",
        "GE*,A,,US,,,clean,0 0 1 1,clean with a mask",
        "GE*,,,US,,,blur,0 0 1 1,no action",
        "GE*,,,US,,,mask,0 0 1,three numbers",
        "GE*,,,US,,,mask,0 0 0 5,empty",
        "GE*,,,US,wide,,mask,0 0 1 5,no number",
        "GE*,too few",
    ],
)
def test_a_row_that_cannot_be_meant_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(DeviceRulesError, match="line 3"):
        read_rules(table(tmp_path, row))


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceRulesError):
        read_rules(tmp_path / "nowhere.csv")
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(DeviceRulesError, match="columns"):
        read_rules(tmp_path / "other.csv")


def test_the_table_that_comes_with_the_code_is_sound() -> None:
    assert shipped_rules()
