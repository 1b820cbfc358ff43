"""A cluster, through the user's own kubectl: what it has, what is applied to it, and why something does not start."""
