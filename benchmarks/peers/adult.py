"""The Adult pipelines as a user writes them: raw rows, a data frame, a ColumnTransformer, a model with its defaults.

`python adult.py <data.csv> <folder>` trains them; `predict_<name>` answers, loading the model on first use.
"""

import os
import sys
from functools import lru_cache
from pathlib import Path

import joblib
import pandas as pd

COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country",
]  # fmt: skip
MODELS = Path(os.environ.get("BENCHMARK_MODELS", "models"))


@lru_cache
def load(name):
    """Load a pipeline once a process."""
    return joblib.load(MODELS / f"{name}.joblib")


def predict(name, instances):
    """Return the probability of >50K for each instance."""
    frame = pd.DataFrame(instances, columns=COLUMNS)
    return [float(probability) for probability in load(name).predict_proba(frame)[:, 1]]


def train(data, folder):
    """Train every pipeline on the file `data`."""
    from catboost import CatBoostClassifier
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from xgboost import XGBClassifier

    frame = pd.read_csv(data)
    labels = frame.pop("income") == ">50K"
    for name, model in {
        "lr": LogisticRegression(max_iter=500),
        "rf": RandomForestClassifier(random_state=0),
        "xgb": XGBClassifier(),
        "cat": CatBoostClassifier(iterations=500, verbose=0, allow_writing_files=False, random_seed=0),
    }.items():
        encode = make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        )
        joblib.dump(make_pipeline(encode, model).fit(frame, labels), Path(folder, f"{name}.joblib"))


if __name__ == "__main__":
    train(*sys.argv[1:])
