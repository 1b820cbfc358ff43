"""What the three tumor models share: how they are trained, and how they answer."""
