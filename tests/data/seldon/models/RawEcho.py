"""Whole messages in and out: what a raw method is given is what it gives back."""


class RawEcho:
    def predict_raw(self, msg):
        if "kind" in msg.get("meta", {}):
            return {"strData": type(msg["binData"]).__name__}
        return msg

    def aggregate_raw(self, msgs):
        return {"jsonData": {"got": len(msgs)}}

    def route_raw(self, msg):
        return {"data": {"ndarray": [[1]]}}

    def transform_input_raw(self, msg):
        return {"strData": "x", "status": {"code": 503}}

    def transform_output_raw(self, msg):
        return {"binData": b"abc"}

    def send_feedback_raw(self, msg):
        raise ValueError("no")
