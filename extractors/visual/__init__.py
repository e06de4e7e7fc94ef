"""Visual encoders: faces found, followed, aligned and described."""
