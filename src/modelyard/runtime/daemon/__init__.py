"""What supervisor, gateway and workers agree on: wire, files, settings. No process of its own."""
