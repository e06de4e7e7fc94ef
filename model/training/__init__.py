"""Gradient steps, early stopping, exact continuation, several processes."""
