"""Visual encoders: they find, follow, align and describe faces."""
