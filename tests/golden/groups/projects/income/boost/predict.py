def predict(msg):
    return "boost"
