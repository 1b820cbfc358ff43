"""The daemon's HTTP side: Flask under gunicorn, which nothing else imports. A model's code is never here."""
