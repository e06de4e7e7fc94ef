"""The feature store: immutable, checksummed shards, and an index that can be rebuilt from them."""
