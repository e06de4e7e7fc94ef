"""Raw media to cached feature shards: what exists, what is stale, where it lies. NumPy, pandas and Arrow only."""
