"""What training and answering share: the network, and how a picture becomes its input."""
