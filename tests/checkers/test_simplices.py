"""The certificate of deep networks by simplices, the exact interpolant, and networks broken on purpose."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from constructions.bit_extraction import Design, layers_of, plain_network, step_values, table_of, words_of
from constructions.bit_extraction.fit import grid_points
from theory import certify_uniform_error, exact
from theory.bit_extraction.checkers.block_structure import block_name, block_structure
from theory.bit_extraction.checkers.interpolant import j1_interpolant, realises_interpolant, sample_points
from theory.checkers.uniform_error.simplices import NotAffine, affine_pieces, read_grid, simplex_vertices
from theory.checkers.uniform_error.stack import linear_stack
from theory.claim import Status


def model_of(n, eps, **options):
    return build_momlp(targets.get("cone", n=n), eps=eps, expert="bit_extraction", **options)


# --- certificates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "eps", "options"),
    [
        (1, 1e-3, {"lookup": "deep"}),
        (1, 1e-4, {"lookup": "wide"}),
        (2, 0.05, {"resolved": 2, "lookup": "wide"}),
        (2, 0.1, {"resolved": 2}),
        (2, 0.1, {}),
        (3, 0.2, {"lookup": "wide"}),
        (3, 0.5, {"resolved": 2}),
        (3, 0.4, {"resolved": 3, "lookup": "wide"}),
    ],
)
def test_certified_below_eps_and_above_what_is_seen(n, eps, options):
    model = model_of(n, eps, **options)
    c = certify_uniform_error(model, model.target, eps=eps, samples=4000)
    assert c.status is Status.CERTIFIED, c.reason
    assert c.method == "simplices"
    assert 0 < c.lower <= c.upper <= eps
    assert c.leaves_checked == c.leaves


def test_on_a_line_the_certificate_is_tight():
    f = LipschitzFunction.from_sympy("Max(x0 - 1/3, 1/3 - x0)", n=1)
    model = build_momlp(f, eps=0.01, expert="bit_extraction")
    c = certify_uniform_error(model, f, eps=0.01)
    assert c.upper <= 1.02 * c.lower


def test_hoelder_targets_two_outputs_and_single_modules():
    f = LipschitzFunction.from_sympy("sin(2*pi*x0)*x1, x0*x1", n=2)
    model = build_momlp(f, eps=0.4, expert="bit_extraction")
    assert certify_uniform_error(model, f, eps=0.4, samples=2000).status is Status.CERTIFIED
    single = model_of(2, 0.1, resolved=2, lookup="wide")
    c = certify_uniform_error(single.expert(0), single.target, eps=0.1, method="simplices", samples=2000)
    assert c.status is Status.CERTIFIED, c.reason


def test_an_eps_below_the_error_is_not_certified():
    model = model_of(1, 0.01)
    c = certify_uniform_error(model, model.target, eps=0.004, samples=4000)
    assert c.status in (Status.REFUTED, Status.INCONCLUSIVE)


def test_a_forward_pass_with_other_weights_is_noticed():
    model = model_of(2, 0.2)
    honest = type(model)._in_turns

    class Liar(type(model)):
        def _in_turns(self, x, order, tables, offsets, at):
            return honest(self, x, order, tables, offsets, at) + 1e-6

    model.__class__ = Liar
    c = certify_uniform_error(model, model.target, eps=0.2, samples=2000)
    assert c.status is Status.INCONCLUSIVE
    assert "forward() uses these weights" in c.reason


def test_a_router_that_never_reaches_an_expert_is_noticed():
    model = model_of(2, 0.2)
    honest = type(model).route

    class Elsewhere(type(model)):
        def route(self, x):
            leaf = honest(self, x)
            return torch.where(leaf == 1, 0, leaf)

    model.__class__ = Elsewhere
    c = certify_uniform_error(model, model.target, eps=0.2, samples=2000)
    assert c.status is Status.REFUTED
    assert "forward() differs by inf from the weights" in str(c.premises)


def test_other_ways_decline_and_say_which_to_use():
    model = model_of(1, 0.05)
    with pytest.raises(ValueError, match="simplices"):
        certify_uniform_error(model, model.target, eps=0.05, method="branch_and_bound")
    pencil = build_momlp(targets.get("cone", n=1), eps=0.1)
    c = certify_uniform_error(pencil, targets.get("cone", n=1), eps=0.1, method="simplices", samples=1000)
    assert c.status is Status.INCONCLUSIVE
    assert "affine on every simplex" in c.reason


@pytest.mark.exact
@pytest.mark.parametrize(("n", "lookup"), [(1, "deep"), (2, "wide")])
def test_pieces_equal_the_exact_kernel_inside_the_simplices(n, lookup):
    """Two truths: affine values of the certificate and rational evaluation of the module at random dyadic points."""
    model = model_of(n, 0.2, resolved=n, lookup=lookup)
    network = model.expert(0)
    pieces = affine_pieces([linear_stack(network)])
    compiled = exact.Compiled(network)
    generator = torch.Generator().manual_seed(0)
    for simplex in torch.randint(pieces.values.shape[1], (25,), generator=generator).tolist():
        share = torch.randint(1, 9, (n + 1,), generator=generator)
        weights = [Fraction(int(s), int(share.sum())) for s in share]
        corners = pieces.vertices[simplex].tolist()
        z = [sum(w * c[i] for w, c in zip(weights, corners, strict=True)) for i in range(n)]
        grid = pieces.grid
        x = [(z[i] - grid.cells + Fraction(grid.shift[i])) / Fraction(grid.slope[i]) for i in range(n)]
        truth = exact.fraction(compiled(x)[0])
        affine = sum(w * Fraction(float(v)) for w, v in zip(weights, pieces.values[0, simplex, :, 0], strict=True))
        assert abs(truth - affine) <= Fraction(2) ** -50


def test_simplices_tile_the_cube():
    """Volumes add up, every vertex chain moves one coordinate to its odd end, and even corners come first."""
    for cells, k in ((3, 1), (3, 2), (2, 3)):
        count = math.factorial(k) * cells**k
        corners = simplex_vertices(cells, k, 0, count, torch.device("cpu"))
        assert bool((corners[:, 0] % 2 == 0).all())
        edges = (corners[:, 1:] - corners[:, :-1]).double()
        assert bool((edges.abs().sum(-1) == 1).all())
        volume = torch.linalg.det(edges).abs().sum() / math.factorial(k)
        assert float(volume) == cells**k
        assert len(torch.unique(corners.flatten(1), dim=0)) == count


@pytest.mark.exact
@pytest.mark.parametrize(("n", "eps"), [(1, 0.01), (2, 0.2), (3, 0.5)])
@pytest.mark.parametrize("lookup", ["deep", "wide"])
def test_networks_are_the_interpolant_in_rationals(n, eps, lookup):
    model = model_of(n, eps, resolved=n, lookup=lookup)
    design = model.plan.network
    values = node_values(model)
    z = sample_points(design.cells, design.m, n, 40, torch.Generator().manual_seed(0))
    assert realises_interpolant(model.expert(0), values, model.plan.step, z).holds
    values[(0,) * n] += 3 * model.plan.step
    assert not realises_interpolant(model.expert(0), values, model.plan.step, z).holds


def node_values(model):
    p = model.plan
    points = grid_points(p, p.tree.leaf_indices()[:1]).reshape(-1, p.n)
    return model.target.evaluate(points)[:, 0].reshape([p.network.cells + 1] * p.resolved)


def test_the_interpolant_is_the_hat_sum():
    """Against Σ y_v·max(0, 1 − max over odd − max over even distances)."""
    cells, generator = 5, torch.Generator().manual_seed(1)
    y = {(a, b): int(torch.randint(9, (1,), generator=generator)) for a in range(6) for b in range(6)}
    for z in sample_points(cells, 3, 2, 60, generator):
        at = [min(max(c, Fraction(0)), Fraction(cells)) for c in z]
        total = Fraction(0)
        for node, value in y.items():
            far = {0: Fraction(0), 1: Fraction(0)}
            for c, v in zip(at, node, strict=True):
                far[v % 2] = max(far[v % 2], abs(c - v))
            total += value * max(Fraction(0), 1 - far[0] - far[1])
        assert j1_interpolant(y, z, cells) == total


# --- broken on purpose ----------------------------------------------------------------------------------

DESIGN = Design(1, 2, 3, 5)
STEP = 1 / DESIGN.cells
VALUES = (torch.arange(DESIGN.cells + 1, dtype=torch.float64) / DESIGN.cells - 0.4).abs()


def network_of(words, design=DESIGN, change=None):
    """The plain network of words (1, classes, words, blocks), with `change(index, weight, bias)` applied to each
    layer."""
    layers = layers_of(design, 1, (0,), (0.0,), (1.0,), STEP)
    net = plain_network(layers, table_of(words, design)[0], float(VALUES.min()))
    for i, linear in enumerate(part for part in net if isinstance(part, nn.Linear)):
        if change is not None:
            change(i, linear.weight.data, linear.bias.data)
    return net


def honest_words():
    y, _ = step_values(VALUES[None], STEP * (1 + 1e-9), DESIGN)
    return words_of(y, DESIGN)


def test_the_honest_network_passes():
    assert block_structure(network_of(honest_words()), VALUES, STEP, DESIGN).holds


@pytest.mark.parametrize("bit", [0, 3, 5, 6])
def test_a_flipped_table_bit_names_its_block(bit):
    words = honest_words()
    words[0, 1, 0, 2] ^= 1 << bit  # class 1, address 2
    failure = block_structure(network_of(words), VALUES, STEP, DESIGN).failure
    assert failure.startswith("class (1,), block (1,): node")


def test_a_swapped_pair_of_blocks_names_one_of_them():
    words = honest_words()
    words[0, 0, 0, [0, 3]] = words[0, 0, 0, [3, 0]]
    failure = block_structure(network_of(words), VALUES, STEP, DESIGN).failure
    assert "class (0,), block" in failure
    assert "steps from the function" in failure


def test_a_removed_gap_is_rejected():
    """T without its offset (m − 1)/2 lets a class run into its neighbour's blocks."""
    first = 2 + (DESIGN.J + 1) + (DESIGN.blocks - 1) + DESIGN.J  # the layer of T in class 0

    def widen(i, weight, bias):
        if i == first:
            bias[-1] += (DESIGN.m - 1) // 2

    failure = block_structure(network_of(honest_words(), change=widen), VALUES, STEP, DESIGN).failure
    assert "class" in failure


def test_a_word_too_long_is_named():
    long = Design(1, 2, 31, 22)
    assert long.word_bits == 52
    failure = block_structure(nn.Linear(1, 1), VALUES, STEP, long).failure
    assert failure == "word 0 of every block has 52 bits, float64 decodes 51 (deep look-up)"


def test_an_even_m_is_refused():
    with pytest.raises(ValueError, match="`m` must be odd"):
        Design(1, 2, 4, 5)


def test_a_broken_decoder_names_the_layer_and_the_simplex():
    def tilt(i, weight, bias):
        if i == 20:
            weight[-1, -1] += 1

    failure = block_structure(network_of(honest_words(), change=tilt), VALUES, STEP, DESIGN).failure
    assert "class" in failure or "layer" in failure


def test_what_is_no_grid_network_is_refused():
    with pytest.raises(NotAffine, match="Linear/ReLU stack"):
        read_grid(linear_stack(nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()))
    net = network_of(honest_words())
    net[2].bias.data[0] += 0.5
    with pytest.raises(NotAffine, match="common integer K"):
        read_grid(linear_stack(net))
    net = network_of(honest_words())
    net[6].weight.data[0, 0] += 0.5
    with pytest.raises(NotAffine, match="not integers"):
        affine_pieces([linear_stack(net)])


def test_block_names():
    assert block_name((0, 7), 3) == "class (0, 0), block (0, 1)"
    assert block_name((4,), 3) == "class (1,), block (0,)"


# --- stacks that are not what the certificate reads -------------------------------------------------------


def test_an_activation_behind_the_output_is_refused():
    """The certificate would speak of the network without it."""
    expert = model_of(1, 0.1).expert(0)
    with pytest.raises(NotAffine, match="not a Linear/ReLU stack of at least two hidden layers"):
        affine_pieces([linear_stack(nn.Sequential(*expert, nn.ReLU()))])


def test_experts_of_two_architectures_are_refused():
    """Layers that the first expert does not have would not be looked at."""
    stack = linear_stack(model_of(1, 0.1).expert(0))
    last = linear_stack(nn.Linear(1, 1, dtype=torch.float64))
    hidden = linear_stack(nn.Sequential(nn.Linear(1, 1, dtype=torch.float64), nn.ReLU()))
    longer = [*stack[:-1], type(stack[0])(stack[-1].weight, stack[-1].bias, hidden[0].alpha), *last]
    for stacks in ([stack, longer], [longer, stack]):
        with pytest.raises(NotAffine, match="do not have one architecture"):
            affine_pieces(stacks)


def test_experts_on_two_grids_are_refused():
    """Places may differ, and are read expert by expert; steps may not."""
    stack, other = (linear_stack(model_of(1, eps).expert(0)) for eps in (0.1, 0.1))
    assert len(affine_pieces([stack, stack]).values) == 2
    other[0].bias.add_(0.125)
    pieces = affine_pieces([stack, other])
    assert (pieces.shift[1] - pieces.shift[0]).tolist() == [0.125]
    other[0].weight.mul_(2)
    with pytest.raises(NotAffine, match="do not share their first two layers"):
        affine_pieces([stack, other])


def test_units_of_one_axis_lie_at_one_place_in_every_expert():
    """Two outputs read each axis by two units: a second expert's are compared as the first one's are."""
    f = LipschitzFunction.from_sympy("x0, -x0", n=1, lipschitz=1.5)
    model = build_momlp(f, eps=0.2, expert="bit_extraction")
    for broken in (0, 1):
        stacks = [linear_stack(model.expert(0)) for _ in range(2)]
        stacks[broken][0].bias[1] += 0.125
        with pytest.raises(NotAffine, match="in two ways"):
            affine_pieces(stacks)
