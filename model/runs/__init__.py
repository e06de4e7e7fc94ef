"""A run's folder: checkpoints, tensors, records."""
