"""The functions that networks are made of, derived by hand.

Each could be composed of the primitives, and stands here as such a *twin* too: the plain version,
the oracle of the tests. The one in use is a single op with its derivative worked out on paper:
deriving it is the course, and it is fast: fewer passes over memory, only what is needed is kept.
At the edges of a dtype's range an op keeps what its formula loses (benchmarks/ACCURACY.md).
"""

from minivit.functions.activations import gelu, relu, sigmoid, silu
from minivit.functions.layers import dropout, embedding, linear
from minivit.functions.losses import (
    IGNORED,
    cross_entropy_loss,
    log_softmax,
    logsumexp,
    mean_over,
    softmax,
)
from minivit.functions.norms import l2_normalize, layer_norm, rms_norm
