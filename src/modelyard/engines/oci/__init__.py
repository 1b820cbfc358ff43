"""Images without an engine: the layout that keeps them, the registries they come from and go to. Nothing runs here."""
