"""What supervisor, gateway and workers agree on: wire, files, settings. What one of them alone needs is not here."""
