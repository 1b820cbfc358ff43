"""What both share."""

NAMES = ["age"]
