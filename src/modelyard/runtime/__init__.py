"""What runs inside an image: here what several processes agree on, by the standard library; then a room a process."""
