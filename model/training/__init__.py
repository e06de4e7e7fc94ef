"""Training: gradient steps, early stopping, exact continuation after a kill, and several processes."""
