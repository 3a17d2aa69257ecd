"""The course: figures and claims registered or refused; notebooks generated and executed."""

import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit
from minivit import course

plt = pytest.importorskip("matplotlib.pyplot")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
Image = pytest.importorskip("PIL.Image")

figures = importlib.import_module("tests.course.figures")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
builder = importlib.import_module("build")
pages = importlib.import_module("pages")
thumbnails = importlib.import_module("thumbnails")

ALT = "A rising line: y doubles with x."


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "out"))
    return tmp_path / "out"


@pytest.fixture
def line():
    fig, axes = plt.subplots()
    axes.plot([1, 2], [2, 4])
    yield fig
    plt.close(fig)


@given(width=st.floats(3, 20), small=st.floats(4, 20), panels=st.integers(1, 3), log=st.booleans())
@settings(max_examples=10, deadline=None)
def test_no_text_of_a_saved_figure_is_too_small(width, small, panels, log):
    with plt.rc_context({"font.size": small}):
        fig, axes = plt.subplots(1, panels, figsize=(width, 5), squeeze=False)
        for k, panel in enumerate(axes[0]):
            panel.plot([1, 100, 1000], [2, 4, 8], label=f"line {k}")
            panel.set(title="A title", xlabel="x", ylabel="y", xscale="log" if log else "linear")
            panel.annotate("inside", (1, 2), fontsize=small / 2)
            panel.legend()
        large = fig.text(0.5, 0.5, "large", fontsize=60)
    try:
        course.register.legible(fig)
        points, words = figures.smallest(fig)
        assert points >= course.register.LEAST - 0.1, words
        assert large.get_fontsize() == 60
    finally:
        plt.close(fig)


# -- the table -------------------------------------------------------------------------------------
def test_the_table_names_40_figures_and_16_claims():
    assert list(course.FIGURES) == [f"F{n:02}" for n in range(1, 41)]
    assert list(course.CLAIMS) == [f"C{n:02}" for n in range(1, 17)]
    for row in course.FIGURES.values():
        assert set(row) == {"slide", "shows", "how"} and row["slide"] and row["shows"]
        assert row["how"] and set(row["how"]) <= {"measured", "computed", "published", "diagram"}


def test_every_slide_has_a_counterpart_in_the_lectures_and_every_figure_a_slide():
    """The headings that the table of slides names are there; README shows that table."""
    folder = ROOT / "lectures"
    headings = {
        path.name[:2]: [line for line in path.read_text("utf-8").splitlines() if "# ##" in line[:6]]
        for path in (folder / "src").glob("0*.py")
    }
    for slide in course.SLIDES:
        assert slide["at"] and slide["figures"], slide
        for place in slide["at"]:
            number, _, words = place.partition(": ")
            assert any(words in heading for heading in headings[number]), place
    shown = [id for slide in course.SLIDES for id in slide["figures"]]
    assert sorted(shown) == list(course.FIGURES)
    readme = (folder / "README.md").read_text("utf-8")
    assert "\n".join(thumbnails.slides()) in readme, "make gallery writes it"


# -- setup -----------------------------------------------------------------------------------------
def test_setup_seeds_and_says_where_the_numbers_come_from(capsys):
    with plt.rc_context():
        course.setup(seed=7)
        first = minivit.engine.backend.host_generator().random(3)
        course.setup(seed=7)
        again = minivit.engine.backend.host_generator().random(3)
        course.setup()
        other = minivit.engine.backend.host_generator().random(3)
        assert plt.rcParams["font.size"] >= 14
        assert len(plt.rcParams["axes.prop_cycle"]) == len(course.COLORS)
    assert (first == again).all() and (first != other).any()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].endswith("seed 7")
    for said in ("minivit " + minivit.__version__, "on cpu", "NumPy " + np.__version__):
        assert said in lines[0]


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None])
def test_setup_refuses_a_seed_that_is_none(seed):
    with pytest.raises(course.CourseError, match=r"seeds: got .* expected integers >= 0"):
        course.setup(seed=seed)


# Machado, Oliveira and Fernandes (2009), table 1, severity 1.0: linear RGB as a dichromat sees it.
SIGHT = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "all three cones": np.eye(3),
}


def _lab(rgb):
    """CIE L*a*b* (D65) of linear sRGB colours (N, 3)."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    f = np.cbrt(np.clip(rgb, 0, 1) @ np.transpose(to_xyz) / [0.9505, 1.0, 1.089])
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("sight", SIGHT)
def test_no_two_colours_look_alike(sight):
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in course.COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = _lab(linear @ np.transpose(SIGHT[sight]))
    far = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(len(lab))
    assert far.min() > 10  # a difference of 2.3 is just noticeable
    assert len({str(dash) for dash in course.DASHES}) == len(course.COLORS)


# -- figures ---------------------------------------------------------------------------------------
def test_a_figure_is_a_png_that_carries_its_alt_text(build, line):
    line.set_size_inches(4, 3)
    assert course.figure("F25", line, alt="A rising line:\n   y doubles, “of course”.") is None
    assert course.figures() == {"F25": build / "figures" / "F25.png"}
    with Image.open(course.figures()["F25"]) as image:
        assert image.info["Description"] == "A rising line: y doubles, “of course”."
        assert image.info["Title"] == "F25 Position similarity"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert 600 < image.width < 850
    assert not plt.fignum_exists(line.number)
    assert [path.name for path in (build / "figures").iterdir()] == ["F25.png"]


@pytest.mark.parametrize(
    ("id", "alt", "says"),
    [
        ("F41", ALT, "figure: got 'F41', expected one of 'F01' to 'F40'"),
        ("C01", ALT, "figure: got 'C01'"),
        (25, ALT, "figure: got 25"),
        (["F25"], ALT, "figure: got"),
        ("F25", "", "F25: alt: got ''"),
        ("F25", "figure", "F25: alt: got 'figure', expected a sentence"),
        ("F25", None, "F25: alt: got None"),
    ],
)
def test_a_figure_that_the_course_does_not_know_or_cannot_be_told(build, line, id, alt, says):
    with pytest.raises(course.CourseError, match=re.escape(says)):
        course.figure(id, line, alt=alt)
    assert not build.exists()


def test_a_figure_must_show_something(build):
    with pytest.raises(course.CourseError, match="F01: fig: got ndarray, expected a matplotlib"):
        course.figure("F01", np.zeros((3, 3)), alt=ALT)
    for empty in (plt.figure(), plt.subplots()[0]):
        with pytest.raises(course.CourseError, match="F01: fig: the figure is empty"):
            course.figure("F01", empty, alt=ALT)
        plt.close(empty)
    assert not build.exists()


@pytest.mark.parametrize("draw", ["imshow", "text", "add_patch"])
def test_an_image_a_text_and_a_diagram_are_not_empty(build, draw):
    fig, axes = plt.subplots()
    arguments = {
        "imshow": [np.zeros((2, 2))],
        "text": [0.5, 0.5, "cat"],
        "add_patch": [plt.Rectangle((0, 0), 1, 1)],
    }
    getattr(axes, draw)(*arguments[draw])
    course.figure("F20", fig, alt=ALT)
    assert "F20" in course.figures()


def test_without_matplotlib_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'minivit[lab]'")):
        course.figure("F01", None, alt=ALT)


# -- claims ----------------------------------------------------------------------------------------
def test_a_claim_is_recorded_printed_and_replaced(build, capsys):
    numbers = {"near": np.float32(0.5), "n": 30_720_000, "each": np.array([[0.25, 1e-9]])}
    course.claim("C09", "holds", numbers=numbers, seeds=np.arange(3))
    course.claim("C02", "does not hold", numbers={"post-LN": 0.1}, seeds=[4])
    course.claim("C09", "not at this size", numbers={"n": 2})
    written = json.loads((build / "claims.json").read_text(encoding="utf-8"))
    assert list(written) == ["C02", "C09"] and written == course.claims()
    assert written["C09"] == {
        "says": "position embeddings learn the 2-D layout",
        "verdict": "not at this size",
        "numbers": {"n": 2},
        "seeds": [],
    }
    assert capsys.readouterr().out.splitlines() == [
        "C09 holds here: position embeddings learn the 2-D layout",
        "    near = 0.5, n = 30,720,000, each = [[0.25, 1e-09]] (seeds 0, 1, 2)",
        f"C02 does not hold here: {course.CLAIMS['C02']}",
        "    post-LN = 0.1 (seeds 4)",
        "C09 cannot be shown at this size: position embeddings learn the 2-D layout",
        "    n = 2 (exact)",
    ]
    assert [path.name for path in build.iterdir()] == ["claims.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"id": "C17"}, "claim: got 'C17', expected one of 'C01' to 'C16'"),
        ({"id": "F01"}, "claim: got 'F01'"),
        ({"verdict": "Holds"}, "C09: verdict: got 'Holds', expected one of ['holds', 'does not"),
        ({"verdict": True}, "C09: verdict: got True"),
        ({"numbers": {}}, "C09: numbers: got {}"),
        ({"numbers": 0.9}, "C09: numbers: got 0.9, expected {name: number, ...}"),
        ({"numbers": {"r": float("nan")}}, "C09: numbers['r']: got nan, expected a finite"),
        ({"numbers": {"r": [1, float("inf")]}}, "C09: numbers['r']: got [1, inf]"),
        ({"numbers": {"r": "0.9"}}, "C09: numbers['r']: got '0.9'"),
        ({"numbers": {"r": None}}, "C09: numbers['r']: got None"),
        ({"numbers": {"r": [[1], [1, 2]]}}, "C09: numbers['r']: got [[1], [1, 2]]"),
        ({"numbers": {"r": [minivit.Tensor(1.0), "x"]}}, "(of a Tensor: its .item())"),
        ({"seeds": 3}, "C09: seeds: got 3, expected integers >= 0: [0, 1, 2]"),
        ({"seeds": [0.5]}, "C09: seeds: got [0.5]"),
        ({"seeds": [-1]}, "C09: seeds: got [-1]"),
        ({"seeds": "012"}, "C09: seeds: got '012'"),
    ],
)
def test_a_claim_that_says_too_little_or_nonsense_is_refused(build, arguments, says):
    good = {"id": "C09", "verdict": "holds", "numbers": {"r": 0.9}, "seeds": [0, 1, 2]}
    with pytest.raises(course.CourseError, match=re.escape(says)):
        course.claim(**{**good, **arguments})
    assert not build.exists()


def test_kernels_that_write_at_once_lose_no_claim(build):
    code = """if True:
        import sys
        from minivit import course
        for id in list(course.CLAIMS)[int(sys.argv[1])::4] * 10:
            course.claim(id, "holds", numbers={"n": 1})
    """
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stdout=subprocess.DEVNULL, cwd=ROOT)
        for n in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert list(course.claims()) == list(course.CLAIMS)
    assert [path.name for path in build.iterdir()] == ["claims.json"]


def test_a_lock_left_by_a_killed_kernel_does_not_stop_the_next(build):
    build.mkdir()
    lock = build / "claims.json.lock"
    lock.touch()
    os.utime(lock, (time.time() - 60,) * 2)
    course.claim("C09", "holds", numbers={"r": 0.9})
    assert "C09" in course.claims() and not lock.exists()


def test_a_broken_claims_file_is_named(build):
    build.mkdir()
    (build / "claims.json").write_text("{half")
    with pytest.raises(course.CourseError, match=r"claims\.json is not JSON .* delete it"):
        course.report()


# -- where it goes, and what there is --------------------------------------------------------------
def test_the_build_folder_is_the_named_one_the_repositorys_or_here(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIVIT_BUILD", raising=False)
    monkeypatch.chdir(tmp_path)
    assert course.build_folder() == tmp_path / "build"
    monkeypatch.chdir(ROOT / "lectures")
    assert course.build_folder() == ROOT / "build"
    monkeypatch.setenv("MINIVIT_BUILD", "elsewhere")
    assert course.build_folder() == ROOT / "lectures" / "elsewhere"


def test_the_report_lists_every_figure_and_claim(build, line, capsys):
    course.figure("F25", line, alt=ALT)
    course.claim("C10", "not at this size", numbers={"slope": 0.1})
    course.claim("O01", "holds", numbers={"difference": 1e-15})
    lines = course.report().splitlines()
    assert lines[0] == "Figures: 1 of 40 made"
    assert lines[41] == "Claims: 1 of 16 have a verdict, and ours"
    assert [said.split()[:2] for said in lines[1:41]] == [
        [id, "made" if id == "F25" else "missing"] for id in course.FIGURES
    ]
    for id, said in zip([*course.CLAIMS, *course.OURS], lines[42:], strict=True):
        given = {"C10": "cannot be shown at this size", "O01": "holds here"}
        expected = given.get(id, "no verdict yet")
        assert said.split(maxsplit=1)[0] == id and said[7:].startswith(expected)
    assert max(map(len, lines)) <= 100


# -- source -> notebook ----------------------------------------------------------------------------
SOURCE = """\
# %% [markdown]
# # Patches & "tokens"
# $N = HW/P^2$

# %% tags=["setup"]
x = 1

# %%
x = 1

# %% [markdown]
# Predict, then run.
"""


def test_a_notebook_follows_from_its_source(tmp_path):
    source = tmp_path / "05_patches.py"
    source.write_text(SOURCE, encoding="utf-8")
    text = builder.notebook_text(source)
    assert text == builder.notebook_text(source) and text.endswith("}\n")
    notebook = nbformat.reads(text, as_version=4)
    assert notebook.metadata == builder.METADATA
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code", "markdown"]
    assert notebook.cells[0].source == '# Patches & "tokens"\n$N = HW/P^2$'
    assert notebook.cells[1].metadata == {"tags": ["setup"]} and notebook.cells[1].source == "x = 1"
    assert len({cell.id for cell in notebook.cells}) == 4  # two cells that say the same, too

    source.write_text(SOURCE.replace("# %% tags", "# %%\ny = 2\n\n# %% tags"), encoding="utf-8")
    longer = nbformat.reads(builder.notebook_text(source), as_version=4)
    kept = [cell.id for cell in longer.cells if cell.source != "y = 2"]
    assert kept == [cell.id for cell in notebook.cells]  # a new cell changes no other cell's id


def test_make_notebooks_writes_what_changed_and_names_orphans(tmp_path, capsys):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "05_patches.py").write_text(SOURCE, encoding="utf-8")
    assert builder.write_notebooks(tmp_path) == 0
    assert builder.write_notebooks(tmp_path) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["05_patches.ipynb: written", "05_patches.ipynb: as it was"]
    (tmp_path / "06_gone.ipynb").write_text("{}")
    assert builder.write_notebooks(tmp_path) == 1
    assert "06_gone.ipynb has no source src/06_gone.py" in capsys.readouterr().err


NAMES = sorted({p.stem for p in [*ROOT.glob("lectures/*.ipynb"), *ROOT.glob("lectures/src/*.py")]})


@pytest.mark.parametrize("name", NAMES)
def test_each_lecture_is_its_source_without_outputs(name):
    text = (ROOT / "lectures" / f"{name}.ipynb").read_text(encoding="utf-8")
    expected = builder.notebook_text(ROOT / "lectures" / "src" / f"{name}.py")
    assert json.loads(text) == json.loads(expected), "run `make notebooks`"
    for cell in json.loads(text)["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None
    paths = re.search(r"""["'\s(](/(home|root|Users|tmp|work|mnt)/|[A-Z]:\\\\)""", text)
    assert paths is None, f"a path of one machine: {paths}"


# -- notebook -> pages -----------------------------------------------------------------------------
LECTURES = {
    "01_works": """\
# %% [markdown]
# # One <lecture> that works

# %%
import matplotlib.pyplot as plt
from minivit import course
course.setup()
fig, axes = plt.subplots()
axes.imshow([[0, 1], [1, 0]])
course.figure("F25", fig, alt='A chess board, "2x2" & small.')

# %%
course.claim("C09", "holds", numbers={"r": 0.75}, seeds=[0, 1, 2])
plt.plot([1, 2]);
""",
    "02_fails": """\
# %%
secret = [1, 2]

# %%
def inner():
    return secret[5]

# %%
inner()

# %%
print("never reached")
""",
    "03_dies": "# %%\nimport os\nos._exit(3)\n",
    "04_clean": '# %%\nassert "secret" not in globals()\nprint("clean", "kernel")\n',
}


def command(folder, *arguments):
    """Run the builder as `make lectures` does, over the lectures in `folder`."""
    script, lectures = str(ROOT / "lectures" / "build.py"), str(folder / "lectures")
    surroundings = {
        "MINIVIT_BUILD": str(folder / "build"),
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "Agg",
    }
    return subprocess.run(
        [sys.executable, script, "--folder", lectures, *arguments],
        env={**os.environ, **surroundings},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def sources(folder, **lectures):
    (folder / "lectures" / "src").mkdir(parents=True)
    for name, source in lectures.items():
        (folder / "lectures" / "src" / f"{name}.py").write_text(source, encoding="utf-8")
    builder.write_notebooks(folder / "lectures")


def test_make_lectures_executes_everything_and_hides_no_failure(tmp_path):
    folder, build = tmp_path, tmp_path / "build"
    sources(folder, **LECTURES)
    (build / "figures").mkdir(parents=True)
    (build / "figures" / "F01.png").touch()  # of an earlier run
    result = command(folder, "run")

    # Each notebook has its line and its outcome.
    assert result.returncode == 1
    assert result.stderr.splitlines() == ["FAILED: 2 of 4 notebooks; see above."]
    for place, name in enumerate(LECTURES, 1):
        cells = LECTURES[name].count("# %%")
        assert re.search(rf"\[{place}/4\] {name} +{cells} cells, \d+\.\d s", result.stdout)
    assert result.stdout.count("  (1 pictures without alt text)") == 1

    # A failure names its cell, and ends with the error.
    fails, dies = result.stdout.split("  FAILED in cell ")[1:]
    assert fails.startswith("3 of 02_fails.ipynb:\n    > inner()\n")
    shown = [said for said in fails.splitlines() if said.startswith("    | ")]
    assert len(shown) <= 12 and shown[-1] == "    | IndexError: list index out of range"
    assert "return secret[5]" in fails and "\x1b" not in result.stdout
    assert dies.startswith("1 of 03_dies.ipynb:") and "The kernel died" in dies

    # The executed notebooks are kept, with outputs, and as pages whose pictures have alt text.
    for name in LECTURES:
        assert (build / "lectures" / f"{name}.html").stat().st_size > 3_000
        text = (folder / "lectures" / f"{name}.ipynb").read_text(encoding="utf-8")
        assert text == builder.notebook_text(folder / "lectures" / "src" / f"{name}.py")
    works = (build / "lectures" / "01_works.html").read_text(encoding="utf-8")
    assert 'alt="A chess board, &#34;2x2&#34; &amp; small."' in works
    assert works.count("<img") == 2 and "C09 holds here" in works
    assert works.count('src="data:image/png;base64,iVBOR') == 2
    last = nbformat.read(build / "lectures" / "04_clean.ipynb", as_version=4)
    assert last.cells[0].outputs[0].text == "clean kernel\n"
    assert str(folder) not in (build / "lectures" / "01_works.ipynb").read_text(encoding="utf-8")

    # It ends with the list, and what it wrote; F01 is gone.
    listed, wrote = result.stdout.split("\n\n")[-2:]
    assert listed.startswith("Figures: 1 of 40 made\n")
    assert "\n  F25  made     Position similarity\n" in listed
    assert "\n  C09  holds here                   position embeddings" in listed
    for said in ("Wrote to build/:", "4 executed notebooks", "1 figures", "1 verdicts", "index"):
        assert said in wrote

    # The index leads to everything.
    index = (build / "index.html").read_text(encoding="utf-8")
    links = set(re.findall(r'(?:href|src)="(?!data:)([^"#]+)', index))
    assert len(links) == 11 and all((build / link).is_file() for link in links)
    assert "One &lt;lecture&gt; that works" in index and index.count("failed in") == 2
    assert 'href="lectures/01_works.html#F25"' in index and "F25 Position similarity" in index
    assert all(id in index for id in [*course.FIGURES, *course.CLAIMS])
    assert "r = 0.75 (seeds 0, 1, 2)" in index


# -- the gallery -----------------------------------------------------------------------------------
def test_the_gallery_is_small_described_and_keeps_the_text_around_it(tmp_path, build, line, capsys):
    course.figure("F25", line, alt='A chess board, "2x2" & | small.')
    course.claim("C09", "holds", numbers={"r": 0.75}, seeds=[0, 1, 2])
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{thumbnails.BEGIN}\nan older table\n{thumbnails.END}\n\nbehind\n")
    for _ in range(2):
        assert thumbnails.gallery(tmp_path) == 0
        text = readme.read_text(encoding="utf-8")
        assert text.startswith("before\n\n<!--") and text.endswith("-->\n\nbehind\n")
    assert "an older table" not in text
    table = (ROOT / "lectures" / "README.md").read_text(encoding="utf-8")
    for id in course.FIGURES:  # each leads to the lecture that makes it
        (line,) = re.findall(rf"(?m)^\| {id} .*$", table)
        assert thumbnails._maker(ROOT / "lectures", id).name in line
    assert len(re.findall(r"^\| F\d\d ", text, re.M)) == 40
    assert len(re.findall(r"^\| C\d\d ", text, re.M)) == 16
    assert '![A chess board, "2x2" & \\| small.](gallery/F25.png)' in text
    assert "| C09 | position embeddings learn the 2-D layout | holds here | r = 0.75" in text
    assert (tmp_path / "gallery" / "F25.png").stat().st_size <= 150_000
    assert thumbnails.alt_text(tmp_path / "gallery" / "F25.png").startswith("A chess board")

    readme.write_text("no place for tables\n")
    assert thumbnails.gallery(tmp_path) == 1
    assert "lacks the lines" in capsys.readouterr().err
    assert readme.read_text() == "no place for tables\n"


def test_a_noisy_figure_shrinks_until_it_fits(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "F01.png")
    (tmp_path / "small.png").write_bytes(thumbnails.small(tmp_path / "F01.png", limit=40_000))
    assert (tmp_path / "small.png").stat().st_size <= 40_000
    with Image.open(tmp_path / "small.png") as image:
        assert image.size == (320, 32)
    Image.fromarray(noise[:9, :9]).save(tmp_path / "F02.png")
    with pytest.raises(course.CourseError, match="more than 50 bytes even at 240 pixels"):
        thumbnails.small(tmp_path / "F02.png", limit=50)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 99), colours=st.integers(2, 3000), spot=st.integers(3, 12))
def test_a_small_copy_loses_no_colour_however_small_its_spot(tmp_path_factory, seed, colours, spot):
    rng = np.random.default_rng(seed)  # a noisy drawing of few or many colours, and one spot
    palette = rng.integers(100, 256, (colours, 3), dtype=np.uint8)
    drawn = np.repeat(np.repeat(palette[rng.integers(colours, size=(75, 100))], 4, 0), 4, 1)
    x, y = rng.integers(80), rng.integers(60)
    drawn[y : y + spot, x : x + spot] = rng.permutation([0, 30, 255])
    path = tmp_path_factory.mktemp("spot") / "F11.png"
    Image.fromarray(drawn).save(path)
    with Image.open(io.BytesIO(thumbnails.small(path))) as image:
        far = np.abs(np.asarray(image.convert("RGB"), int) - drawn).max(axis=2)
    assert image.size == (400, 300) and far[y : y + spot, x : x + spot].mean() <= 4 * 16
    assert thumbnails.furthest(Image.fromarray(drawn), image) <= 16


def test_the_furthest_square_is_found_wherever_it_is():
    for at in ((0, 0), (9, 3), (16, 12)):  # the last squares are cut off by the border
        one = np.zeros((17, 13, 3), np.uint8)
        other = one.copy()
        other[at] = [10, 64, 0]
        side = [min(8, n - 8 * (i // 8)) for n, i in zip((17, 13), at)]
        far = thumbnails.furthest(Image.fromarray(one), Image.fromarray(other))
        assert far == pytest.approx(64 / np.prod(side))


def test_a_cell_that_hangs_is_stopped_and_only_what_was_named_is_run(tmp_path):
    sources(tmp_path, **{"01_works": "1 + 1", "06_hangs": "while True:\n    pass"})
    result = command(tmp_path, "run", "06", "--seconds", "2")
    assert result.returncode == 1 and "FAILED in cell 1 of 06_hangs.ipynb" in result.stdout
    assert "took more than 2 seconds" in result.stdout and "01_works" not in result.stdout
    assert result.stderr == "FAILED: 1 of 1 notebooks; see above.\n"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_stops_it_all_in_one_line(tmp_path):
    sources(tmp_path, **{"01_hangs": "while True:\n    open('begun', 'w')", "02_never": "1 + 1"})
    script, lectures = str(ROOT / "lectures" / "build.py"), tmp_path / "lectures"
    running = subprocess.Popen(
        [sys.executable, script, "--folder", str(lectures), "run"],
        env={**os.environ, "MINIVIT_BUILD": str(tmp_path / "build"), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.time() + 120
    while not (lectures / "begun").exists() and time.time() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said, complained = running.communicate(timeout=120)
    assert running.returncode == 1 and "02_never" not in said
    assert complained == "\nStopped: nothing after this notebook was executed.\n"


def test_nothing_to_run_is_a_failure_not_a_success(tmp_path, build, capsys):
    assert builder.run(tmp_path) == 1
    assert "no notebook at all in" in capsys.readouterr().err
    assert thumbnails.gallery(tmp_path) == 1
    assert "no figures in build/: run `make lectures` first" in capsys.readouterr().err


def test_a_build_folder_that_holds_the_sources_is_refused(tmp_path, monkeypatch, capsys):
    sources(tmp_path, **{"01_works": "1 + 1"})
    for named in (tmp_path, tmp_path / "lectures"):
        monkeypatch.setenv("MINIVIT_BUILD", str(named))
        assert builder.run(tmp_path / "lectures") == 1
        assert "holds the lectures' sources" in capsys.readouterr().err
    assert (tmp_path / "lectures" / "01_works.ipynb").is_file()
