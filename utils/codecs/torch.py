"""torch: a state_dict, never the module itself, so loading runs no code and the module's class may move or change."""

import re
from collections.abc import Mapping
from io import BytesIO
from pickle import UnpicklingError
from typing import Any

from utils.codecs.base import DecodeOptions, is_from
from utils.errors import ModelBinaryError


class TorchCodec:
    """A module's state_dict, or any dict that holds tensors, by torch.save; read back with weights_only=True."""

    format = "torch"
    suffix = "pth"
    framework = "torch"
    package = "torch"

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is a module, or a dict with a tensor somewhere in it."""
        return _is_module(model) or _holds_tensor(model)

    def encode(self, model: Any) -> bytes:
        """Return the state, moved to the CPU so that it loads where there is no CUDA device."""
        import torch

        buffer = BytesIO()
        torch.save(_on_cpu(_state_of(model)), buffer)
        if not _is_module(model):  # a dict may hold what is refused when it is loaded
            self.decode(buffer.getvalue(), DecodeOptions())
        return buffer.getvalue()

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Return the state, or `options.into` with the state loaded, in evaluation mode."""
        import torch

        try:
            state = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            raise ModelBinaryError(
                f"the file holds more than tensors and plain values, so it could run code{_named(error)}",
                hint="save the state_dict, not the whole module: save_model(module, ...) does that",
            ) from None
        return _filled(options.into, state)


class SafetensorsCodec:
    """A module's state_dict as safetensors: a flat dict of tensors, read without any pickle."""

    format = "safetensors"
    suffix = "safetensors"
    framework = "torch"
    package = "torch"

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is a module, or a dict with a tensor somewhere in it."""
        return _is_module(model) or _holds_tensor(model)

    def encode(self, model: Any) -> bytes:
        """Return the state, which must be a flat dict of tensors that don't share memory."""
        from safetensors.torch import save

        state = _on_cpu(_state_of(model))
        return save({name: tensor.contiguous() for name, tensor in state.items()})

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Return the state, or `options.into` with the state loaded, in evaluation mode."""
        from safetensors.torch import load

        return _filled(options.into, load(data))


def _named(error: UnpicklingError) -> str:
    """What was refused; the rest of torch's message tells how to load it all the same."""
    match = re.search(r"GLOBAL (\S+)", str(error))
    return f" ({match[1]})" if match else ""


def _is_module(model: Any) -> bool:
    return is_from("torch", model) and hasattr(model, "state_dict")


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_tensor, value.values()))
    return is_from("torch", value) and hasattr(value, "untyped_storage")


def _state_of(model: Any) -> Any:
    return model.state_dict() if hasattr(model, "state_dict") else model


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_on_cpu, value))
    return value.detach().cpu() if hasattr(value, "untyped_storage") else value


def _filled(into: Any, state: Any) -> Any:
    if into is None:
        return state
    try:
        into.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelBinaryError(
            f"its state does not fit into {type(into).__name__} ({error})",
            hint="make the module as it was made for training; the manifest's params may say how",
        ) from error
    return into.eval() if hasattr(into, "eval") else into
