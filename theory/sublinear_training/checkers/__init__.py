"""Instruments for training by fired sets: brute force, identities of steps, replayed stale keys, rationals, balls."""
