"""The protocols that the daemon speaks beside its own: one module each, gathered in `table`."""
