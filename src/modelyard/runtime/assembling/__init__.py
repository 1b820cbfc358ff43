"""Assemble, in a builder image: requirements and source into an application. What runs later is not here."""
