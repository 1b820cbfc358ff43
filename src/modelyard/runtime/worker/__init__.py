"""The process that has one model loaded, and what forks it. What others know of it is in `daemon`, not here."""
