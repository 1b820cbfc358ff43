"""Files that are posted as a form does it."""

import json
import urllib.request
from typing import Any


def post_form(url: str, name: str, data: bytes) -> Any:
    """Send one file as a form does, in a field of that name."""
    head = f'--cut\r\nContent-Disposition: form-data; name="{name}"; filename="digit.png"\r\n\r\n'
    body = head.encode() + data + b"\r\n--cut--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as response:
        return json.load(response)
