"""Model stores: folders and S3 buckets behind one interface. `fetch` and `push` move one file, whole or not at all."""
