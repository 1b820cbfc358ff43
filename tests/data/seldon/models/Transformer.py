"""A transformer: scales what goes in, names what comes out."""


class Transformer:
    def transform_input(self, features, feature_names, meta=None):
        if isinstance(features, (str, bytes, dict)):
            return features
        return features * 2

    def transform_output(self, features, feature_names, meta=None):
        if feature_names:
            return {name: column.tolist() for name, column in zip(feature_names, features.T, strict=True)}
        return features > 0.5

    def class_names(self):
        return ["yes", "no"]

    def feature_names(self):
        return ["scaled"]
