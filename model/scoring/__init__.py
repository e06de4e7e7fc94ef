"""Scores, calibration, paired comparison, and the evaluation of a finished run."""
