"""The peer: a custom MLServer runtime around the same function, its adaptive batching on."""

import json

from adult import load, predict
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Pipeline(MLModel):
    """One of the models: a row travels as a string, for its columns are of different types."""

    async def load(self) -> bool:
        """Load the pipeline."""
        load(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer for each row."""
        import numpy as np

        rows = [json.loads(text) for text in StringCodec.decode_input(payload.inputs[0])]
        found = np.array(predict(self.name, rows)).reshape(-1, 1)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predictions", found)])
