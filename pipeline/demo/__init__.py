"""A small conversation corpus in MELD's layout that the project makes itself."""
