"""Training of the facial DenseNet on FER+."""
