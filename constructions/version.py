"""The version of momlp: this line is the only place that says it; packaging, `momlp --version` and reports read it."""

__version__ = "0.1.0"
