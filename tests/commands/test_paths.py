"""An empty path is no folder: every command refuses one in words, and leaves what is there."""

import pytest

from minivit import commands

pillow = pytest.importorskip("PIL.Image")
CALLS = """
check 1 EMPTY
check 1 x.py --results EMPTY
classify EMPTY --labels a b --model emoji
classify x.png --labels a b --model EMPTY
classify x.png --labels a b --model emoji --out EMPTY
complete EMPTY
complete x.png --out EMPTY
embed --photos EMPTY --model emoji
embed --model emoji a --out EMPTY
export EMPTY x
export emoji EMPTY
grade EMPTY --out x
grade . --out EMPTY
grade . --out x --marks EMPTY
grade . --out x --times EMPTY
grade . --out x --exercises EMPTY
info EMPTY
release --out EMPTY
release --nbgrader EMPTY
release --gradescope EMPTY
release --out x --exercises EMPTY
search heart EMPTY --model emoji
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_an_empty_path_is_refused(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pillow.new("RGB", (9, 9)).save("x.png")
    (tmp_path / "x.py").touch()
    try:
        status = commands.main(["" if word == "EMPTY" else word for word in call.split()])
    except SystemExit as refused:  # by the parser
        status = refused.code
    errors = capsys.readouterr().err
    assert status == 2 and ("empty, expected" in errors or "--out .: expected" in errors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "x.py"]
