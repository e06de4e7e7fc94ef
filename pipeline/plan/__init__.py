"""Utterances x extractors -> cells: which are done, failed, new or changed, and why."""
