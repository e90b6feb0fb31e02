"""A web application whose people sign in at Mooring, and an API that asks Mooring whether a token is live."""

import os
import secrets
from urllib.parse import urlencode

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from flask import Flask, jsonify, redirect, request, session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from markupsafe import escape

ISSUER = os.environ.get("ISSUER", "http://localhost:8080")
HERE = os.environ.get("HERE", "http://127.0.0.1:3000")
SECRET = "a secret for this guide only, and for nothing else"
API_SECRET = "another secret for this guide, and for nothing else"

app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)
signed_in = {}  # of this application: id in the cookie → tokens; a database in real life


def update_token(name, token, refresh_token=None, access_token=None):
    signed_in[session["id"]]["token"] = token


oauth = OAuth(app, update_token=update_token)
mooring = oauth.register(
    "mooring",
    server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
    client_id="python-app",
    client_secret=SECRET,
    # leeway: how many seconds early it refreshes. Authlib's own 60 is much where tokens live for five minutes.
    client_kwargs={"scope": "openid profile email greetings", "code_challenge_method": "S256", "leeway": 1},
)


# ── the application ─────────────────────────────────────────────────────────────────────────────────────────────────


@app.get("/")
def home():
    if session.get("id") not in signed_in:
        return mooring.authorize_redirect(f"{HERE}/callback")
    return f"<!doctype html><title>Application</title><h1>Hello {signed_in[session['id']]['name']}</h1>"


@app.get("/callback")
def callback():
    try:
        token = mooring.authorize_access_token()
    except OAuthError as refused:
        # Such as access_denied: the person said no. To ask again at once would go round in circles.
        return f"<!doctype html><title>Application</title><h1>Not signed in</h1><p>{escape(refused.error)}</p>", 403
    # The ID token says who signed in and how (sub, sid, acr, auth_time); name and email are userinfo's to tell.
    person = mooring.userinfo(token=token)
    session["id"] = secrets.token_urlsafe()
    signed_in[session["id"]] = {"token": token, "name": person["name"], "sid": token["userinfo"]["sid"]}
    return redirect("/")


@app.get("/me")
def me():
    return with_token(mooring.load_server_metadata()["userinfo_endpoint"])


@app.get("/hello")
def hello():
    return with_token(f"{HERE}/api/hello")


def with_token(url):
    """Authlib refreshes what has expired, and says so to update_token."""
    visit = signed_in.get(session.get("id"))
    if visit is None:
        return jsonify(error="not signed in"), 401
    try:
        answer = mooring.get(url, token=visit["token"])
    except OAuthError as refused:
        return over(refused.error)
    return over("invalid_token") if answer.status_code == 401 else jsonify(answer.json())


def over(error):
    """The session at Mooring is over, and with it the one here."""
    signed_in.pop(session.pop("id"), None)
    return jsonify(error=error), 401


@app.get("/sign-out")
def sign_out():
    visit = signed_in.pop(session.pop("id", None), None)
    if visit is None:
        return redirect("/bye")
    there = mooring.load_server_metadata()["end_session_endpoint"]
    query = {"id_token_hint": visit["token"]["id_token"], "post_logout_redirect_uri": f"{HERE}/bye"}
    return redirect(f"{there}?{urlencode(query)}")


@app.post("/backchannel-logout")
def backchannel_logout():
    """Mooring says that a session has ended, however it did."""
    keys = KeySet.import_key_set(mooring.fetch_jwk_set())
    expected = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": "python-app"},
        exp={"essential": True},
        sid={"essential": True},
        events={"essential": True},
    )
    try:
        token = jwt.decode(request.form["logout_token"], keys, algorithms=["RS256"])
        expected.validate(token.claims)
    except (JoseError, ValueError) as error:
        return jsonify(error="invalid_request", error_description=str(error)), 400
    if token.header.get("typ") != "logout+jwt":
        return jsonify(error="invalid_request"), 400
    for id in [id for id, visit in signed_in.items() if visit["sid"] == token.claims["sid"]]:
        del signed_in[id]
    return "", 200


@app.get("/bye")
def bye():
    return "<!doctype html><title>Application</title><h1>You are signed out</h1>"


# ── the API ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Introspected(IntrospectTokenValidator):
    """Asks about every token: what hangs on an ended session is refused at once."""

    def introspect_token(self, token_string):
        endpoint = mooring.load_server_metadata()["introspection_endpoint"]
        answer = requests.post(endpoint, data={"token": token_string}, auth=("python-api", API_SECRET), timeout=5)
        answer.raise_for_status()
        return answer.json()


require_token = ResourceProtector()
require_token.register_token_validator(Introspected())


@app.get("/api/hello")
@require_token("greetings")
def api_hello():
    return jsonify(hello=current_token["username"], session=current_token["sid"])


if __name__ == "__main__":
    app.run(port=int(HERE.rsplit(":", 1)[1]))
