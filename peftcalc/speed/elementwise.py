"""Norms, rotary embedding, activation and residual sums: work that is bound by the card's memory.

Bytes are those of transformers' operators one by one, forward and backward; with fused kernels each of these reads its
operands once and writes its result once.
"""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.memory.estimate.activations import is_layer_norm
from peftcalc.models.shapes import ModuleGroup
from peftcalc.speed.work import SpeedSetup, Work

OPERATORS = "transformers' modeling code, operator by operator"
LIGER = "Liger Kernel (arXiv:2410.10989), section 3"


def elementwise(setup: SpeedSetup) -> Iterator[Work]:
    """All elementwise work of the layers."""
    yield _norms(setup)
    yield _rotary(setup)
    yield _activations(setup)
    yield _residuals(setup)


def _work(
    setup: SpeedSetup, name: str, formula: str, sizes: tuple[float, float], launches: tuple[float, float], row: float
) -> Work:
    """From bytes a token and kernels, both forward and backward; `row` is the bytes of one tensor for a token."""
    (forward, backward), (start, back) = sizes, launches
    size = setup.tokens * (setup.forwards * forward + setup.backward * backward)
    count = setup.forwards * start + setup.backward * back
    return setup.traffic(name, formula, size, count, LIGER if setup.fused else OPERATORS, setup.tokens * row)


def _norms(setup: SpeedSetup) -> Work:
    """RMSNorm written out is six operators forward and nine backward over float32 copies; LayerNorm is one kernel."""
    precision = setup.step.precision
    a = precision.stream
    forward = backward = start = back = 0.0
    for group in setup.step.body.norms:
        width = _width(group, setup)
        if setup.fused:
            sizes, count = (2 * a, 3 * a), (1, 1)
        elif is_layer_norm(group):
            cast = 4 + a if precision.autocast and a < 4 else 0
            wide = 4 if precision.autocast else a
            sizes, count = (cast + 2 * wide, cast + 3 * wide), (2, 2)
        else:
            cast = (4 + a) if a < 4 else 0
            sizes = (2 * cast + 20 + 2 * a, 2 * a + 2 * cast + 48)
            count = (7, 11)
        trained = 3 * a if setup.step.trained and not setup.fused else 0
        forward += group.repeats * width * sizes[0]
        backward += group.repeats * width * (sizes[1] + trained)
        start, back = start + group.repeats * count[0], back + group.repeats * count[1]
    row = (a if setup.fused else 4) * setup.step.body.width
    return _work(setup, "norms", "T · L · Σ bytes·h / B", (forward, backward), (start, back), row)


def _width(group: ModuleGroup, setup: SpeedSetup) -> int:
    """Numbers a token that a norm handles: its width, or all heads' where it norms queries or keys."""
    attention = setup.step.body.attentions[0]
    if "q_norm" in group.template:
        return attention.query
    return attention.key if "k_norm" in group.template else group.tensors[0].numel


def _rotary(setup: SpeedSetup) -> Work:
    """Queries and keys turned: two products, a sum, a negated half and a concatenation."""
    p = setup.step.precision.product
    forward, backward = (2 * p, 2 * p) if setup.fused else (10 * p, 16 * p)
    turned = [block for block in setup.step.body.attentions if block.rotary]
    width = sum(b.repeats * (b.query + b.key) for b in turned)
    layers = sum(b.repeats for b in turned)
    launches = (2, 2) if setup.fused else (10, 14)
    return _work(
        setup,
        "rotary embedding",
        "T · L · Σ bytes·(query + key) / B",
        (forward * width, backward * width),
        (launches[0] * layers, launches[1] * layers),
        p * max([block.query for block in turned], default=0),
    )


def _activations(setup: SpeedSetup) -> Work:
    """Gate, activation and product: 5·p·f forward and 9·p·f backward; fused 3·p·f and 5·p·f.

    Experts' tokens are also gathered, weighed and added: 8·p·h for each visit forward, 14·p·h backward.
    """
    p = setup.step.precision.product
    forward = backward = layers = 0.0
    for mlp in setup.step.body.mlps:
        gated = (3, 5) if setup.fused_activations else (5, 9)
        one, two = gated if mlp.gated else (2, 3)
        written = 1 if setup.kernels == "compiled" else _operators(mlp.activation)
        forward += mlp.repeats * mlp.width * p * (one + 2 * (written - 1))
        backward += mlp.repeats * mlp.width * p * (two + 4 * (written - 1))
        layers += mlp.repeats * written
    for experts in setup.step.body.experts:
        moved = experts.repeats * p * experts.visits
        forward += moved * (5 * experts.width + 8 * setup.step.body.width)
        backward += moved * (9 * experts.width + 14 * setup.step.body.width)
    sizes, launches = (forward, backward), (2 * layers, 3 * layers)
    widths = [mlp.width for mlp in setup.step.body.mlps] + [e.visits * e.width for e in setup.step.body.experts]
    return _work(setup, "activations", "T · L · bytes·f / B", sizes, launches, p * max(widths, default=0))


def _operators(activation: str) -> int:
    """Operators in which transformers writes an activation out; one where torch has a kernel."""
    return {"gelu_new": 8, "gelu_fast": 8, "gelu_python_tanh": 8, "gated-gelu": 8, "quick_gelu": 3}.get(activation, 1)


def _residuals(setup: SpeedSetup) -> Work:
    """Two sums a layer forward; backward, gradients of all readers of one tensor are added; compiled, none stays."""
    body, a = setup.step.body, setup.step.precision.stream
    readers = len({linear.source for linear in body.linears if linear.group.repeats > 1}) or 4
    extra = max(len([x for x in body.linears if x.group.repeats > 1]) - readers, 0)
    forward = 2 * 3 * a * body.width * body.layers
    backward = (2 + extra) * 3 * a * body.width * body.layers
    if str(setup.model.config.get("model_type")).startswith("granite"):  # both are multiplied by a number first
        forward, backward = forward + 4 * a * body.width * body.layers, backward + 4 * a * body.width * body.layers
    if setup.kernels == "compiled":
        forward, backward = 2 * a * body.width * body.layers, 2 * a * body.width * body.layers
    dropout = body.dropouts * (2 * a + 1) * body.width * body.layers
    launches = (2 + body.dropouts) * body.layers, (2 + extra + body.dropouts) * body.layers
    return _work(
        setup,
        "residual stream",
        "T · L · bytes·h / B",
        (forward + dropout, backward + dropout),
        launches,
        a * body.width,
    )
