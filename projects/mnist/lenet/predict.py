"""Answer which digit is in a picture, by the `infer` of the function file."""

from kubeml.serving import serve

from .function import main

_infer = serve(main, "mnist_lenet")


def predict_digit(msg):
    """Return the digit in each of `instances`, pictures of 28 x 28 numbers from 0 to 255."""
    return _infer(msg)
