"""Downloads: from a server on this machine that can break off, change its files and be gone."""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from safetensors.numpy import save

import minivit
from minivit.engine.errors import CheckpointError, DataError, MinivitError
from minivit.published import hub, weights

pytest.importorskip("pooch")

NAME = "someone/model"


class Server(ThreadingHTTPServer):
    """Files by path; `breaks`: how many bytes it sends before it hangs up; `asked`: (path, Range,
    If-Range) of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.breaks, self.asked, self.weak = {}, None, [], False
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        span, mark = self.headers["Range"], self.headers["If-Range"]
        server.asked.append((self.path, span, mark))
        content = server.files.get(self.path)
        if isinstance(content, str):  # elsewhere, as the hub's large files are
            self.send_response(302)
            self.send_header("Location", server.address + content)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if content is None:
            return self.send_error(404)
        etag = ("W/" if server.weak else "") + f'"{hashlib.md5(content).hexdigest()}"'
        start = int(span[6:-1]) if span and mark == etag else 0
        if start > len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start:][: server.breaks])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    with Server() as server:
        monkeypatch.setattr(hub, "HUB", server.address)
        monkeypatch.setattr(hub, "STORAGE", server.address)
        monkeypatch.setenv("MINIVIT_CACHE", str(tmp_path / "cache"))
        yield server
        server.shutdown()


def serve(server, **files):
    """Put files of NAME there; a text says where else the file is."""
    for file, content in files.items():
        server.files[f"/{NAME}/resolve/main/{file}"] = content


WEIGHTS = save({"a": np.arange(200_000, dtype=np.float32)})
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}


def test_a_repository_is_fetched_once_and_then_needs_no_network(server, tmp_path, capsys):
    serve(server, **FILES)
    folder = hub.fetch(NAME)
    assert f"is kept in {folder}" in capsys.readouterr().err
    assert folder == tmp_path / "cache" / NAME
    assert weights.read(folder)["a"][-1] == 199_999
    assert sorted(p.name for p in folder.iterdir()) == sorted(["SHA256SUMS", *FILES])
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        found, name = line.split("  ")
        assert found == hashlib.sha256(FILES[name]).hexdigest()
    assert server.asked[-1][0].endswith("model.safetensors")  # last: where it is, all is
    count = len(server.asked)
    server.shutdown()
    assert hub.fetch(NAME) == folder and len(server.asked) == count


def test_an_interrupted_download_goes_on_where_it_stopped(server):
    serve(server, **{**FILES, "model.safetensors": "/elsewhere"})
    server.files["/elsewhere"] = WEIGHTS
    server.breaks = 300_000
    with pytest.raises(DataError, match=r"(?s)model\.safetensors is not here.*262,144 bytes are"):
        hub.fetch(NAME)
    with pytest.raises(DataError, match=r"524,288 bytes are kept"):
        hub.fetch(NAME)
    server.breaks = None
    folder = hub.fetch(NAME)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    asked = [span for path, span, _ in server.asked if path == "/elsewhere"]
    assert asked == [None, "bytes=262144-", "bytes=524288-"]
    assert not list(folder.glob("*.part*"))


def test_a_file_that_changed_meanwhile_is_fetched_whole(server):
    serve(server, **FILES)
    server.breaks = 300_000
    with pytest.raises(DataError):
        hub.fetch(NAME)
    server.breaks, other = None, save({"a": np.ones(200_000, np.float32)})
    serve(server, **{"model.safetensors": other})
    assert (hub.fetch(NAME) / "model.safetensors").read_bytes() == other


@pytest.mark.parametrize("case", ["more is here than there", "its mark is weak"])
def test_a_partial_file_that_cannot_go_on_is_begun_anew(server, tmp_path, case):
    serve(server, **FILES)
    partial = tmp_path / "cache" / NAME / "model.safetensors.part"
    partial.parent.mkdir(parents=True)
    server.weak = case == "its mark is weak"
    if server.weak:
        server.breaks = 1000
        with pytest.raises(DataError):
            hub.fetch(NAME)
        server.breaks = None
    else:
        partial.write_bytes(bytes(len(WEIGHTS) + 1))
        mark = f'"{hashlib.md5(WEIGHTS).hexdigest()}"'
        partial.with_name(partial.name + ".etag").write_text(mark)
    assert (hub.fetch(NAME) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_with_another_sum_is_refused(server, monkeypatch):
    serve(server, **FILES)
    known = {"model.safetensors": hashlib.sha256(WEIGHTS).hexdigest()}
    monkeypatch.setitem(hub.KNOWN, NAME, ("main", known))
    serve(server, **{"model.safetensors": save({"a": np.ones(3, np.float32)})})
    with pytest.raises(DataError, match=r"is not the file that was expected: .*hash"):
        hub.fetch(NAME)
    serve(server, **FILES)
    assert hub.fetch(NAME)


def test_what_came_first_is_what_must_come_again(server):
    serve(server, **FILES)
    folder = hub.fetch(NAME)
    (folder / "model.safetensors").unlink()
    serve(server, **{"model.safetensors": save({"a": np.ones(3, np.float32)})})
    with pytest.raises(DataError, match="is not the file that was expected"):
        hub.fetch(NAME)


def test_files_put_there_by_hand_are_used_and_checked_where_their_sum_is_known(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MINIVIT_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HUB", "http://127.0.0.1:1")
    known = {"model.safetensors": hashlib.sha256(WEIGHTS).hexdigest()}
    monkeypatch.setitem(hub.KNOWN, NAME, ("main", known))
    folder = tmp_path / NAME
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    with pytest.raises(CheckpointError, match=r"SHA-256 .*expected .*Delete it"):
        hub.fetch(NAME)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    assert hub.fetch(NAME) == folder and hub.fetch(NAME) == folder


def test_offline_each_missing_file_its_address_and_its_place_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVIT_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HUB", "http://127.0.0.1:1")  # where nobody answers
    with pytest.raises(DataError) as error:
        minivit.load("google/vit-base-patch16-224")
    said = str(error.value)
    assert f"into {tmp_path / 'google/vit-base-patch16-224'} yourself" in said
    address = f"/google/vit-base-patch16-224/resolve/{hub.KNOWN['google/vit-base-patch16-224'][0]}"
    assert f"{address}/config.json\n" in said and f"{address}/model.safetensors\n" in said
    assert "preprocessor_config.json" in said
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match="pip install 'minivit"):
        hub.fetch(NAME)


def test_shards_are_fetched_all(server):
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    one, two = (save({name: np.ones(2, np.float32)}) for name in "ab")
    serve(server, **{weights.INDEX: json.dumps(index).encode(), "1.safetensors": one})
    with pytest.raises(DataError, match=r"2\.safetensors"):
        hub.fetch(NAME)
    serve(server, **{"2.safetensors": two})
    assert set(weights.read(hub.fetch(NAME))) == {"a", "b"}


def test_a_repository_with_a_pickle_alone_is_told(server):
    serve(server, **{"config.json": b"{}", "pytorch_model.bin": b"\x80\x04N."})
    with pytest.raises(DataError, match=r"(?s)perhaps a pickle alone.*torch\.load\('pytorch_model"):
        hub.fetch(NAME)


def test_a_file_of_googles_storage(server, tmp_path):
    server.files["/vit_models/a%2Bb/ViT.npz"] = b"PK"
    path = hub.fetch("gs://vit_models/a+b/ViT.npz")
    assert path == tmp_path / "cache/vit_models/a+b/ViT.npz" and path.read_bytes() == b"PK"


@pytest.mark.parametrize("name", ["../x", "a/b/c", "/etc", "gs://a/../../b.npz", "..", "a/..", ""])
def test_what_is_no_name_is_refused_before_anything_is_asked(server, name):
    with pytest.raises(MinivitError):
        hub.fetch(name)
    assert not server.asked


def test_known_sums_are_sums():
    for name, (revision, sums) in hub.KNOWN.items():
        assert name.count("/") == 1 and len(revision) == 40
        assert all(len(s) == 64 and int(s, 16) for s in sums.values()), name
