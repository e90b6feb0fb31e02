import sys

import web_application


def walk(at):
    at.copy()
    at.prepare(sys.executable, "-m", "venv", "venv")
    at.prepare("venv/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
    at.mooring(tokens__access="5s")
    at.component("venv/bin/python", "app.py", ISSUER=at.issuer, HERE=at.application, ready="/bye")
    web_application.walk(at, "python-app", api="/hello")
