"""modelyard: source-to-image for models."""

__version__ = "0.1.0"
