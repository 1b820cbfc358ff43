"""An application for people to look at: a table, pictures in both forms, a token, a model that cannot load."""

import base64
import json
import struct
import zlib
from collections.abc import Mapping

from modelyard.runtime.application import APPLICATION_FILE, Application, Model, format_application

INCOME = {"instances": [[25, "Private", 226802, "11th", 0.5], [38, "Private", 12345678901234567890, "HS-grad", 1.0]]}
PREDICT = '''
    """Answers about tables and pictures, with the standard library alone."""

    import base64, struct, time

    def income(msg):
        rows = msg.payload.get("instances") if isinstance(msg.payload, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, list) and row for row in rows):
            raise ValueError("expected {'instances': [row, ...]}")
        time.sleep(0.002)
        ages = [row[0] for row in rows]
        if not all(type(age) in (int, float) for age in ages):
            raise ValueError("the first column is the age, a number")
        return {"predictions": [int(age > 30) for age in ages], "scores": [age / 100 for age in ages]}

    def digit(msg):
        answers, sizes = [], []
        instances = msg.payload.get("instances") if isinstance(msg.payload, dict) else None
        if not isinstance(instances, list):
            raise ValueError("expected {'instances': [{'b64': picture}, ...]}")
        for instance in instances:
            try:
                data = base64.b64decode(instance["b64"])
                sizes.append(list(struct.unpack(">II", data[16:24])))
            except (ValueError, TypeError, KeyError, struct.error):
                raise ValueError("no picture") from None
            answers.append(len(data) % 10)
        return {"predictions": answers, "sizes": sizes}

    def grey(msg):
        pictures = msg.payload.get("instances") if isinstance(msg.payload, dict) else None
        if not isinstance(pictures, list) or not all(isinstance(rows, list) for rows in pictures):
            raise ValueError("expected {'instances': [rows, ...]}")
        try:
            return {"predictions": [sum(map(sum, rows)) for rows in pictures], "rows": [len(rows) for rows in pictures]}
        except TypeError:
            raise ValueError("rows are lists of numbers") from None
'''


def make_picture(size: int = 28) -> str:
    """A grey PNG file in base64: light strokes on dark."""
    rows = b"".join(b"\0" + bytes(255 * (abs(x - y) < 3) for x in range(size)) for y in range(size))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
    parts = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in
             (*chunks, (b"IEND", b""))]  # fmt: skip
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def make_rows(size: int = 28) -> list[list[int]]:
    """The same as rows of grey values."""
    return [[255 * (abs(x - y) < 3) for x in range(size)] for y in range(size)]


def application_files() -> Mapping[str, str]:
    """The application's files, by path."""
    routes = {"income": INCOME, "digit": {"instances": [{"b64": make_picture()}, {"b64": make_picture(14)}]}}
    routes["grey"] = {"instances": [make_rows()]}
    routes["locked"] = {"payload": INCOME}
    models = [
        Model(name=f"shop/{route}", path="shop", routes=(route,), instances=f"shop/{route}.json") for route in routes
    ]
    models.append(Model(name="shop/broken_by_a_file_that_is_not_there_yet", path="shop", routes=("broken",)))
    application = Application(name="shop/all", kind="predict", models=tuple(models))
    return {
        APPLICATION_FILE: format_application(application),
        "shop/predict.py": PREDICT,
        "shop/broken.py": "raise FileNotFoundError('models/broken.bin: train the model first')",
        **{f"shop/{route}.json": json.dumps(instances, indent=2) for route, instances in routes.items()},
    }


ROUTES = (
    "income:shop.predict:income,digit:shop.predict:digit,grey:shop.predict:grey,locked:shop.predict:income,"
    "broken:shop.broken:run"
)
