"""How good are a model's features? Linear probes after every layer, and fine-tuning.

    features = layer_features(model, ids, causal=True)    # a list: (n, D) for each layer
    probe = LinearProbe(features[4], labels)              # logistic regression, L2 chosen inside
    probe.validation, probe.accuracy(test_features, test_labels)

A probe chooses its L2 and the layer on a validation split of the training data;
the test split is looked at once, at the end (Chen et al. 2020, sections 3.4 and 4).
"""

import importlib
import warnings

import numpy as np

from minivit import functions, nn
from minivit.engine.errors import RangeError, ShapeError
from minivit.engine.modes import no_grad
from minivit.training.data import Batches, stratified

STRENGTHS = tuple(10.0 ** np.arange(-3, 3))  # C, the inverse of the L2 penalty's weight
SHARE = 0.15  # of the pixels that BERT's objective hides


# -- features --------------------------------------------------------------------------------------
@no_grad()
def layer_features(model, ids, causal=True, hidden=None, batch_size=256):
    """`ImageGPT.features` of all images: L + 1 arrays (n, D) on the host."""
    pieces = [
        [f.numpy() for f in model.features(ids[rows], causal, _of(hidden, rows))]
        for rows in _rows(len(ids), batch_size)
    ]
    return [np.concatenate(layer) for layer in zip(*pieces)]


def _rows(n, batch_size):
    return [slice(i, i + batch_size) for i in range(0, n, batch_size)]


def _of(hidden, rows):
    return None if hidden is None else hidden[rows]


def masks(shape, seed, share=SHARE):
    """The pixels that are hidden: (B, N) boolean, each on its own with probability `share`."""
    if not 0 < share < 1:
        raise RangeError(f"masks: share is {share}, expected 0 < share < 1")
    return np.random.default_rng(seed).random(shape) < share


class MaskedBatches(Batches):
    """`Batches` whose first array is ids; each batch ends with a mask (B, N) of its own."""

    def __getitem__(self, step):
        batch = super().__getitem__(step)
        return *batch, masks(batch[0].shape, [self.seed, step, 1])


# -- linear probes ---------------------------------------------------------------------------------
class LinearProbe:
    """Multinomial logistic regression on standardised features, fitted by L-BFGS (scikit-learn).

    features (n, D), labels (n,). `groups` copies of an image (one for each mask, say) lie one after
    the other as blocks of n / groups rows. A fifth of the images is kept apart to choose the L2
    penalty among `strengths`; then the regression is fitted to all of them.
    `C`, `validation`: the strength chosen, and the accuracy on the images kept apart.
    """

    def __init__(self, features, labels, groups=1, strengths=STRENGTHS, seed=0):
        features, labels = _checked(features, labels)
        if len(labels) % groups:
            raise ShapeError(f"LinearProbe: {len(labels)} rows are not {groups} equal blocks")
        n = len(labels) // groups
        kept, apart = stratified(labels[:n], max(1, n // 5), seed)
        kept, apart = (
            (rows + n * np.arange(groups)[:, None]).reshape(-1) for rows in (kept, apart)
        )
        accuracies = []
        for C in strengths:
            self._fit(features[kept], labels[kept], C)
            accuracies.append(self.accuracy(features[apart], labels[apart]))
        best = int(np.argmax(accuracies))  # the first of equals: the strongest penalty
        self.C, self.validation = float(strengths[best]), accuracies[best]
        self._fit(features, labels, self.C)

    def _fit(self, features, labels, C):
        linear_model = _sklearn("linear_model")
        self.mean, self.std = features.mean(axis=0), features.std(axis=0) + 1e-8
        with warnings.catch_warnings():  # not converged in 300 steps: good enough to compare
            warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
            self._regression = linear_model.LogisticRegression(C=C, max_iter=300).fit(
                (features - self.mean) / self.std, labels
            )

    def probabilities(self, features):
        """(n, D) -> (n, classes)."""
        return self._regression.predict_proba((features - self.mean) / self.std)

    def accuracy(self, features, labels):
        """The share of rows whose likeliest class is the label."""
        features, labels = _checked(features, labels)
        found = self._regression.classes_[self.probabilities(features).argmax(axis=1)]
        return float((found == labels).mean())


def _checked(features, labels):
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ShapeError(
            f"LinearProbe: features {features.shape} and labels {labels.shape} do not fit; "
            "expected (n, D) and (n,)"
        )
    if not np.isfinite(features).all():
        raise RangeError("LinearProbe: the features hold NaN or infinity: has the model diverged?")
    return features, labels


def _sklearn(part):
    try:
        return importlib.import_module(f"sklearn.{part}")
    except ImportError as reason:
        raise ImportError(
            "linear probes are fitted by scikit-learn, which is not installed: "
            "pip install 'minivit[lab]'"
        ) from reason


def probe_layers(train_features, train_labels, test_features, test_labels, seed=0):
    """A probe after every layer: {"validation": [..], "test": [..], "best": layer}, where the best
    layer is the one that the validation split says; layer 0 is the input of the first."""
    probes = [LinearProbe(f, train_labels, seed=seed) for f in train_features]
    validation = [p.validation for p in probes]
    test = [p.accuracy(f, test_labels) for p, f in zip(probes, test_features)]
    return {"validation": validation, "test": test, "best": int(np.argmax(validation))}


# -- fine-tuning -----------------------------------------------------------------------------------
class FineTuned(nn.Module):
    """A pre-trained Image GPT with a linear head on the mean of its last normed states.

    causal: True after autoregressive pre-training, False after BERT's. The head starts at zero.
    """

    def __init__(self, model, classes, causal=True):
        self.model, self.causal = model, causal
        width = model.sos.shape[0]
        self.classify = nn.Linear(width, classes, bias=False)
        self.classify.weight.assign(np.zeros((classes, width)))

    def forward(self, ids, hidden=None):
        """Logits of the classes: ids (B, N) -> (B, classes)."""
        return self.classify(self.last(ids, hidden).mean(axis=1))

    def last(self, ids, hidden=None):
        """The normed states after the last layer, (B, N, D)."""
        model = self.model
        x = model.shifted(ids) if self.causal else model.visible(ids, hidden)
        return model.norm(model.states(x, self.causal)[-1])

    def loss(self, ids, labels, hidden=None, generative=1.0):
        """The loss of the published code: generative + classification, from one forward pass."""
        h = self.last(ids, hidden)
        loss = functions.cross_entropy_loss(self.classify(h.mean(axis=1)), labels)
        if not generative:
            return loss
        targets = ids if self.causal else np.where(hidden, ids, functions.IGNORED)
        return loss + generative * functions.cross_entropy_loss(self.model.head(h), targets)

    @no_grad()
    def probabilities(self, ids, hidden=None, batch_size=256):
        """softmax of the logits of all images: (n, classes)."""
        return np.concatenate([
            functions.softmax(self(ids[rows], _of(hidden, rows))).numpy()
            for rows in _rows(len(ids), batch_size)
        ])  # fmt: skip


def ensemble(probabilities, labels):
    """Accuracies with several masks of each image: (alone, together).

    probabilities (masks, n, classes). alone: the mean accuracy with one mask; together: that of the
    mean of the probabilities.
    """
    p = np.asarray(probabilities)
    if p.ndim != 3 or p.shape[1:2] != np.shape(labels):
        raise ShapeError(
            f"ensemble: got probabilities {p.shape} and labels {np.shape(labels)}, expected "
            "(masks, n, classes) and (n,)"
        )
    alone = (p.argmax(axis=2) == labels).mean()
    return float(alone), float((p.mean(axis=0).argmax(axis=1) == labels).mean())
