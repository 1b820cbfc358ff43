"""Pages to look at: served on this machine alone, or written as one file. Nothing on them changes anything."""
