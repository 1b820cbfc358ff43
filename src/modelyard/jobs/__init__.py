"""Jobs: what a training in the background is, how it stands and what it went through. Files only; it runs nothing."""
