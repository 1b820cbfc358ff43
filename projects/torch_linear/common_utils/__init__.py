"""What training and answering share: the network."""
