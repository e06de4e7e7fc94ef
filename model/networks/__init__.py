"""One file a network, as a reader of its paper would draw it."""
