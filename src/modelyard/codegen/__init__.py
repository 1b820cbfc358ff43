"""The code generator: from the `.s2i/environment` of model directories to `all/`, and from nothing to a scaffold."""
