"""modelyard: source-to-image for models."""

__version__ = "0.2.0"
