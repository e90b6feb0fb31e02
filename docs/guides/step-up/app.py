"""An API that wants a passkey for one of its calls (RFC 9470), and an application that asks for it when it is told."""

import functools
import os
import secrets
import time

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, g, jsonify, redirect, request, session
from werkzeug.datastructures import WWWAuthenticate

ISSUER = os.environ.get("ISSUER", "http://localhost:8080")
HERE = os.environ.get("HERE", "http://127.0.0.1:3000")
API = ("payments-api", "another secret for this guide, and for nothing else")

app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"


# ── the API ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# From weakest to strongest; a stronger one does where a weaker one is asked for.
CLASSES = ["urn:mooring:acr:pwd", "urn:mooring:acr:mfa", "phr", "phrh"]


def refuse(status, error, **parameters):
    answer = jsonify(error=error)
    told = ", ".join(f'{name}="{value}"' for name, value in {"error": error, **parameters}.items())
    answer.headers["WWW-Authenticate"] = f"Bearer {told}"
    return answer, status


def needs(scope, acr, max_age):
    """Only with a token whose person proved who they are by `acr`, `max_age` seconds ago at most (RFC 9470 §3)."""

    def protect(view):
        @functools.wraps(view)
        def protected():
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                return jsonify(), 401, {"WWW-Authenticate": "Bearer"}
            asked = requests.post(f"{ISSUER}/oauth/introspect", data={"token": token}, auth=API, timeout=5)
            asked.raise_for_status()
            seen = asked.json()
            if not seen["active"]:
                return refuse(401, "invalid_token")
            strong = seen.get("acr") in CLASSES[CLASSES.index(acr) :]
            recent = time.time() - seen.get("auth_time", 0) <= max_age
            if not (strong and recent):
                return refuse(401, "insufficient_user_authentication", acr_values=acr, max_age=max_age, scope=scope)
            if scope not in seen["scope"].split():
                return refuse(403, "insufficient_scope", scope=scope)
            g.token, g.seen = token, seen
            return view()

        return protected

    return protect


@app.post("/api/payments")
@needs("payments:write", acr="phr", max_age=900)  # as long as the scope lasts
def api_pay():
    payment = f"payment/{secrets.token_hex(4)}"
    # So that whoever watches the session sees what is done in it.
    work = {"token": g.token, "action": "payment.create", "object": payment, "outcome": "done"}
    requests.post(f"{ISSUER}/hub/api/v1/sessions/events", json=work, auth=API, timeout=5).raise_for_status()
    return jsonify(payment=payment, by=g.seen["username"], session=g.seen["session"]["kind"]), 201


# ── the application ─────────────────────────────────────────────────────────────────────────────────────────────────

visits = {}  # id in the cookie → tokens; a database in real life
oauth = OAuth(app)
mooring = oauth.register(
    "mooring",
    server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
    client_id="shop",
    client_secret="a secret for this guide only, and for nothing else",
    client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
)


def page(title, text=""):
    button = '<form method="post" action="/pay"><button id="pay">Pay</button></form>'
    return f"<!doctype html><title>Shop</title><h1>{title}</h1><p id=said>{text}</p>{button}"


@app.get("/")
def home():
    if session.get("id") not in visits:
        return mooring.authorize_redirect(f"{HERE}/callback")
    return page("Shop", session.pop("said", "Nothing is paid yet."))


@app.get("/callback")
def callback():
    try:
        token = mooring.authorize_access_token()
    except OAuthError as refused:
        if refused.error == "unmet_authentication_requirements":
            return page("Not paid", f'This takes a passkey. <a href="{ISSUER}/account">Add one</a>, and pay again.')
        return page("Not paid", refused.error)
    if session.get("id") in visits:
        session["said"] = "That was you. Pay now."
    else:
        session["id"] = secrets.token_urlsafe()
    # A step-up gives tokens of its own; those of before stay what they are.
    visits[session["id"]] = token
    return redirect("/")


@app.post("/pay")
def pay():
    token = visits.get(session.get("id"))
    if token is None:
        return redirect("/")
    answer = call(token)
    if answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"'):
        # Expired, or the privileged session is over: what the person is still signed in for goes on.
        try:
            token.update(mooring.fetch_access_token(grant_type="refresh_token", refresh_token=token["refresh_token"]))
        except OAuthError:
            visits.pop(session.pop("id"))
            return redirect("/")
        answer = call(token)
    if answer.status_code in (401, 403):
        asked = WWWAuthenticate.from_header(answer.headers["WWW-Authenticate"])
        if asked.get("error") in ("insufficient_user_authentication", "insufficient_scope"):
            # What the API says is enough, on top of what there is (RFC 9470 §4).
            scope = " ".join(sorted({*token["scope"].split(), *asked.get("scope", "").split()}))
            more = {name: asked.get(name) for name in ("acr_values", "max_age") if asked.get(name)}
            return mooring.authorize_redirect(f"{HERE}/callback", scope=scope, **more)
    if answer.status_code == 201:
        paid = answer.json()
        return page("Paid", f"{paid['payment']} by {paid['by']}, in a {paid['session']} session")
    return page("Not paid", answer.json()["error"])


def call(token):
    authorization = {"Authorization": f"Bearer {token['access_token']}"}
    return requests.post(f"{HERE}/api/payments", headers=authorization, timeout=5)


@app.get("/ready")
def ready():
    return ""


if __name__ == "__main__":
    app.run(port=int(HERE.rsplit(":", 1)[1]))
