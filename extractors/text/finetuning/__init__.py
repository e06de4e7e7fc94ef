"""Fine-tuning a text encoder on a corpus's own training dialogues."""
