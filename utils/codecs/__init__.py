"""One codec a framework: `encode` a model to bytes, `decode` bytes to a model, `can_encode` says whose model it is."""
