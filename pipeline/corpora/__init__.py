"""A corpus on disk -> its manifest. One module a layout."""
