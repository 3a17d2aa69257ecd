"""docs/models.md says what is read: each cell is a test, each refusal has its reason."""

import re
from pathlib import Path

from minivit.published import refused
from minivit.published.export import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def table(heading):
    lines = PAGE.partition(heading)[2].split("\n\n")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_cell_is_a_test_of_the_parity_group():
    tests = dict(re.findall(r"^(\d+)\. `(.+?)`$", PAGE, re.M))
    used = set()
    rows = table("bit for bit (tests/published/test_own.py).\n")
    for _, _, *cells in rows:
        assert len(cells) == 6
        for cell in cells:
            number = re.fullmatch(r"\[(\d+)\]|–", cell)
            assert number, cell
            used |= {number[1]} - {None}
    assert used == set(tests) and len(rows) > 15
    for test in tests.values():
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        before, found, _ = text.partition(f"\ndef {name}(")
        assert found, test
        marked = "\npytestmark = pytest.mark.parity" in text
        fixture = path == "tests/published/test_timm.py"  # of numbers that timm itself computed
        parity = "@pytest.mark.parity" in before[before.rfind("\n\n\n") :]
        assert marked or fixture or parity, test


def test_each_family_is_there():
    from minivit.published import FAMILIES

    assert {row[0] for row in table("bit for bit (tests/published/test_own.py).\n")} == {
        *FAMILIES
    } - {"own"}
    assert len(KINDS) == 4


def test_each_refusal_has_its_reason():
    rows = table("## Relatives that are refused\n")
    assert dict(rows) == refused.REFUSED
