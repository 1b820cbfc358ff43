"""What the four income models share: the columns, and how they are trained and answer."""
