"""What the tests of the exact instruments share: wrong Bernoulli numbers and kernels; games and their values."""

from fractions import Fraction as F

from theory.shapley_interactions.checkers import operators, weights
from theory.shapley_interactions.checkers.least_squares import Regression, constrained_operator, limit_operator
from theory.shapley_interactions.checkers.theorems import inner_and_outer

RIGHT = weights._bernoulli


def with_bernoulli(monkeypatch, **changed):
    """Bernoulli numbers of which some are others: B1=Fraction(1, 2)."""
    monkeypatch.setattr(weights, "bernoulli", lambda m: changed.get(f"B{m}", RIGHT(m)))


def with_kernel(monkeypatch, of):
    """μ_k(t) = of(n, k, t) on the inner sizes."""
    monkeypatch.setattr(weights, "kernel", lambda n, k: {t: of(n, k, t) for t in range(k, n - k + 1)})


def values(operator, game):
    """An operator's answer to a game, as fractions."""
    return operators.entries(operator * operators.column(game))


def index(game, k):
    return values(operators.definition(players(game), k), game)


def direct(game, k, **changed):
    n = players(game)
    return values(limit_operator(Regression.of(n, k, **changed)) * operators.residual(n, k), game)


def split(game, k):
    n = players(game)
    inner, outer = inner_and_outer(n, k)
    limit, own = limit_operator(Regression.of(n, k)), operators.by_weights(n, k)
    both = operators.restricted(own, outer) + operators.restricted(limit, inner)
    return values(both * operators.residual(n, k), game)


def constrained(game, k):
    return values(constrained_operator(players(game), k), game)


def players(game):
    return len(game).bit_length() - 1


def fractions(*texts):
    return [F(text) for text in texts]
