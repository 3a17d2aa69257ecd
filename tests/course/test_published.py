"""Published numbers, and the line under a figure that says where they stand."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

plt = pytest.importorskip("matplotlib.pyplot")
from minivit import course, files  # noqa: E402
from minivit.course.plots.published import cited, name_sources, published  # noqa: E402
from tests.course import figures  # noqa: E402

TABLES = sorted(path.stem for path in (files.data_folder() / "published").glob("*.csv"))
PLACES = st.builds("{} {}".format, st.sampled_from(["section", "Table", "Figure"]),
                   st.from_regex(r"[1-9](\.[1-9])?", fullmatch=True))  # fmt: skip
ROWS = st.lists(
    st.builds(
        lambda paper, places: {"source": paper, "place": " and ".join(places)},
        st.sampled_from(["Chen et al. 2020", "Radford et al. 2021, A Title, and $1 more"]),
        st.lists(PLACES, max_size=3),
    ),
    min_size=1,
    max_size=6,
)


def places(text):
    """(section, Table or Figure, number) of each place that a line names."""
    found = re.findall(r"(section|Table|Figure)s? ((?:[\d.]+(?:, )?)+)", text)
    return {(word, number) for word, numbers in found for number in numbers.strip(", ").split(", ")}


@given(ROWS)
def test_each_paper_is_named_once_with_all_its_places(rows):
    for part in cited(rows).split("; "):
        (paper,) = {row["source"] for row in rows if part.startswith(row["source"])}
        its = [row["place"] for row in rows if row["source"] == paper]
        assert places(part) == {tuple(p.split(" ")) for s in its for p in s.split(" and ") if p}
    assert len(cited(rows).split("; ")) == len({row["source"] for row in rows})


def test_table_2_comes_before_table_10():
    rows = [{"source": "A 2020", "place": f"Table {n} and section {n}.1"} for n in (10, 2)]
    assert cited(rows) == "A 2020, Tables 2, 10, sections 2.1, 10.1"


@settings(max_examples=8, deadline=None)
@given(st.floats(5, 14), ROWS, st.booleans())
def test_the_line_stands_inside_of_any_figure_and_is_legible(width, rows, in_parts):
    plt.switch_backend("Agg")
    course.style.look()
    fig = plt.figure(figsize=(width, 5))
    for part in fig.subfigures(2, 1) if in_parts else [fig]:
        part.subplots().set(xticks=[], yticks=[])
    name_sources(fig, "a drawing of ours", rows)
    fig.draw_without_rendering()
    line = fig._supxlabel
    box = line.get_window_extent()
    assert 0 <= box.x0 and box.x1 <= fig.bbox.x1 and box.y0 >= 0
    assert all(box.y1 <= axes.get_tightbbox().y0 for axes in fig.findobj(plt.Axes))
    said = line.get_text().replace("\n", " ").replace(r"\$", "$")
    assert said == f"Published: a drawing of ours; {cited(rows)}"
    figures.check_open()


@pytest.mark.parametrize("name", TABLES)
def test_the_line_for_a_table_that_ships_is_short(name):
    rows = published(name)
    if "place" in rows[0]:  # the history has a source a row
        assert len(cited(rows)) < 260, cited(rows)
