"""One file for each modality. Each holds one class, with its settings and ``extract``."""
