"""From raw media to cached feature shards: what exists, what is stale, where it lies. Only NumPy, pandas and Arrow."""
