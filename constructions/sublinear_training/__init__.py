"""Gauss–Newton training of a wide shifted-ReLU network that visits the fired neurons alone.

Source: arXiv:2208.04508 (the claim); the method, its counts and their proofs are in docs/sublinear_training.md.
"""

from constructions.sublinear_training.data import random_signs, rational_circle, separation, unit_sphere
from constructions.sublinear_training.fired import Fired
from constructions.sublinear_training.gauss_newton import GaussNewtonTrainer
from constructions.sublinear_training.max_tree_forest import MaxTreeForest
from constructions.sublinear_training.network import ShiftedReLUNetwork
from constructions.sublinear_training.trace import StepRecord, TrainingTrace

__all__ = [
    "Fired",
    "GaussNewtonTrainer",
    "MaxTreeForest",
    "ShiftedReLUNetwork",
    "StepRecord",
    "TrainingTrace",
    "random_signs",
    "rational_circle",
    "separation",
    "unit_sphere",
]
