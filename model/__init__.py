"""The BIG-FUSION network and its training. Arrays and masks in, metrics and checkpoints out; no media, no corpus."""
