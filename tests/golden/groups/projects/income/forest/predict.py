def predict(msg):
    return "forest"
