"""The paper's tables and figures, remade from the user's own data."""
