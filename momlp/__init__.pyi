from constructions import *
from constructions.version import __version__ as __version__
from theory import *
from theory.verification import verify as verify
