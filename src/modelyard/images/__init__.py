"""What an image is made of: plans, layers, configuration and their keys; what is there already, an engine tells."""
