"""Transcripts of recordings: who says what, and when, in the formats that people have. One file a format."""
