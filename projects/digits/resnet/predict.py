"""Answer which digit is in a picture, by the `infer` of the function file."""

from kubeml.serving import serve

from .function import main

_infer = serve(main, "digits_resnet")


def predict_digit(msg):
    """Return the digit in each of `instances`, pictures of 8 x 8 numbers from 0 to 16."""
    return _infer(msg)
