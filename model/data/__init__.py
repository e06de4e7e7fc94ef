"""Dialogues as arrays, and dialogues as padded batches."""
