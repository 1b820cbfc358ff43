"""Training, the process of a train image. Nothing of serving is here."""
