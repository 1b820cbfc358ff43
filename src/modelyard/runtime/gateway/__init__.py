"""The daemon's HTTP side: a Flask app under gunicorn. It never imports a model's code."""
