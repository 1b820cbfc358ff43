def predict(msg):
    return "legacy"
