"""Instruments: they read modules, graphs and weights, never what a builder says about itself."""
