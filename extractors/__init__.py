"""One file a modality, one class in each: settings and ``extract``."""
