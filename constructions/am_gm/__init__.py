"""Matrices whose products are averaged with and without repetition, and certificates about all of them."""

from constructions.am_gm.certificate import Certificate, certificate_path, shipped_certificates
from constructions.am_gm.ensembles import ENSEMBLES, random_matrices
from constructions.am_gm.exact import exact_matrices, expected_product_exact, float_matrices
from constructions.am_gm.expectation import am_gm_ratio, expected_product
from constructions.am_gm.families import de_sa_family, integer_counterexample, largest_c
from constructions.am_gm.least_squares import LeastSquares, example_rows
from constructions.am_gm.sampling import (
    SamplingRates,
    Simulation,
    sampling_rates,
    sampling_rates_exact,
    simulate_sampling,
)
from constructions.am_gm.search import search_certificate
from constructions.am_gm.worst_case import worst_case_search

__all__ = [
    "ENSEMBLES",
    "Certificate",
    "LeastSquares",
    "SamplingRates",
    "Simulation",
    "am_gm_ratio",
    "certificate_path",
    "de_sa_family",
    "exact_matrices",
    "example_rows",
    "expected_product",
    "expected_product_exact",
    "float_matrices",
    "integer_counterexample",
    "largest_c",
    "random_matrices",
    "sampling_rates",
    "sampling_rates_exact",
    "search_certificate",
    "shipped_certificates",
    "simulate_sampling",
    "worst_case_search",
]
