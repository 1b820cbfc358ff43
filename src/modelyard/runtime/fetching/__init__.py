"""Getting model binaries from S3 before a daemon starts, in a pod's init container. It ends when they are there."""
