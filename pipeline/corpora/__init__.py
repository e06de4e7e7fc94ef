"""From a corpus on disk to its manifest. Each module reads one layout."""
