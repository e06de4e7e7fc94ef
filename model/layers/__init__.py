"""The building blocks of the networks (Eqs. 4-8 of the paper)."""
