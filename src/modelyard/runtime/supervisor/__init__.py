"""The daemon's first process, which starts and watches the others. It imports none of them."""
