"""Requirements files: parse their lines, merge those of many models, and find out which models go together."""
