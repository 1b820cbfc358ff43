"""Training, the process of a train image. What serves, or is shared with what serves, is not here."""
