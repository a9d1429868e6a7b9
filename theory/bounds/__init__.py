"""Closed-form mathematics: bounds that need no object to be built."""
