"""Node importance, augmented views and contrastive losses (Eqs. 1-3, 9, 10); the methods and controls of Table 3."""
