pip --version
