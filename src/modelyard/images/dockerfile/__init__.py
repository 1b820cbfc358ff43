"""Dockerfiles without RUN: parsed, expanded, and turned into configuration and layers. No engine, nothing is run."""
