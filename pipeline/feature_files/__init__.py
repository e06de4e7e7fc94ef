"""Feature files that users already own: the field's pickles, Parquet."""
