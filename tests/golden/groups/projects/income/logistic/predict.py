def predict(msg):
    return "logistic"
