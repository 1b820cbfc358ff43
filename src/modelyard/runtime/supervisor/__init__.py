"""The daemon's first process, which starts and watches the others. What these do is not here: it imports none."""
