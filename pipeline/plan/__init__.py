"""Utterances x extractors -> cells: which cells are done, failed, new or changed, and why."""
