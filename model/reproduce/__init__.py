"""The paper's ablation table and figures, remade from one's own data, each as a figure and as data."""
