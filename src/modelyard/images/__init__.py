"""What an OCI image is made of: layers, configuration, distributions, keys. It knows no engine."""
