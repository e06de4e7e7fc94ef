"""The utterance table: its columns, its rules, its digest."""
