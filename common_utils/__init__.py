"""Training helpers that every project shares: tables, splits, features, metrics, downloads."""
