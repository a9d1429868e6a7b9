"""MoMLPs trained on data: prototypes from the data, independent experts in one bank, a byte budget if wanted.

Main definitions: `train_momlp`, `Routing`, `Options`, `TrainedMoMLP`, `prepare`, `Prepared`, `train_together`,
`central_hidden`; for scikit-learn, `MoMLPRegressor` and `MoMLPClassifier` in `estimators`.
"""

from constructions.trained_momlp.model import TrainedMoMLP
from constructions.trained_momlp.routing import Routing
from constructions.trained_momlp.run import Prepared, TrainingReport, prepare, train_momlp, train_together
from constructions.trained_momlp.sizes import central_hidden
from constructions.trained_momlp.training import Options

__all__ = [
    "Options",
    "Prepared",
    "Routing",
    "TrainedMoMLP",
    "TrainingReport",
    "central_hidden",
    "prepare",
    "train_momlp",
    "train_together",
]
