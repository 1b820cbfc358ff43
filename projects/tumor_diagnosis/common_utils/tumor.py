"""The Wisconsin data: its label, and what a request looks like."""

LABEL = "diagnosis"
LABELS = ("benign", "malignant")
EXAMPLE = "[17.99, 10.38, 122.8, ...]"
