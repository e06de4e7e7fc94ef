"""Speech without a transcript: voice activity, recognition, speakers. Needs the extra ``speech``."""
