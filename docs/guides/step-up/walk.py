import json
import sys

from harness import Chromium


def step_up_and_pay(browser):
    browser.click("#use-passkey")
    browser.wait("#said", "That was you. Pay now.")
    browser.click("#pay")
    return browser.wait("#said", "privileged session")


def walk(at):
    at.copy()
    at.prepare(sys.executable, "-m", "venv", "venv")
    at.prepare("venv/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
    at.mooring()
    at.component("venv/bin/python", "app.py", ISSUER=at.issuer, HERE=at.application, ready="/ready")
    browser = Chromium(at)
    browser.add_authenticator()

    at.heading("A refusal")
    browser.open(at.application + "/")
    browser.cancel()
    browser.wait("#said", "access_denied")
    at.check(browser.url().startswith(at.application), "the shop says so, and does not ask again", browser.url())

    at.heading("Sign-in, by password")
    browser.open(at.application + "/")
    browser.sign_in()
    browser.allow()
    browser.wait("#said", "Nothing is paid yet.")
    at.check(True, "Alice is signed in at the application")

    at.heading("A payment, by somebody without a passkey")
    browser.click("#pay")
    browser.allow()
    said = browser.wait("#said", "passkey")
    at.check(True, "the API said what it takes, and Mooring that Alice cannot show it: unmet_authentication_requirements")
    at.say(f"    {said}")
    browser.click("#said a")
    browser.type("#passkey-label", "My laptop")
    browser.click("#add-passkey")
    browser.wait(".notice", "ready")
    at.check(True, "she adds a passkey on her account page")

    at.heading("The payment again: 401, step-up, paid")
    browser.open(at.application + "/")
    browser.click("#pay")
    browser.find("#use-passkey")
    at.check(browser.url().startswith(at.issuer + "/step-up"), "Mooring asks for it, for this request", browser.url())
    said = step_up_and_pay(browser)
    at.check("by alice" in said, "paid, with the tokens of the step-up", said)
    at.say(f"    {said}")
    privileged = at.sessions("--kind", "privileged")
    at.check(len(privileged) == 1, "in a session of its own, which an operator sees", privileged)
    work = privileged[0]["id"]
    at.check("payment.create" in at.command("session", "show", work), "and what was done in it, because the API reports it")

    at.heading("An operator locks it, and lets it go on")
    at.command("session", "lock", work, "--reason", "looks odd")
    browser.open(at.application + "/")
    browser.click("#pay")
    browser.click("#use-passkey")
    browser.wait("#said", "access_denied")
    at.check(True, "the very next payment is refused, and so is a new step-up: nobody gets round a lock")
    at.command("session", "unlock", work, "--reason", "it was Alice")

    at.heading("An operator ends it")
    at.command("session", "end", work)
    browser.open(at.application + "/")
    browser.click("#pay")
    browser.find("#use-passkey")
    at.check(True, "the tokens are dead; refreshed ones lack the scope, so the next payment takes a passkey again")
    left = at.sessions("--user", "alice")
    at.check([session["kind"] for session in left] == ["user"], "and Alice is still signed in", json.dumps(left))
    step_up_and_pay(browser)
    at.check(True, "which she shows, and pays")
    at.trail("shop")
    browser.quit()
