"""The walk that all web applications of the guides share: they have the same addresses."""

import concurrent.futures
import time

from harness import Browser


def walk(at, client, api=None):
    browser = Browser(at)
    refusal(at, browser)
    sign_in(at, browser)
    tokens(at, browser, api)
    ending(at, browser)
    being_told(at, browser)
    signing_out(at, browser)
    at.heading("What Mooring has on record")
    actions = at.trail(client)
    for action in ("authorization.cancelled", "consent.denied", "code.redeemed", "token.refreshed", "notice.delivered"):
        at.check(action in actions, f"{action} is in the audit trail")


def refusal(at, browser):
    at.heading("A refusal")
    for leaves in (browser.cancel, browser.deny):
        is_told(at, leaves(browser.open(at.application + "/")))


def is_told(at, page):
    """The application says that nothing was allowed, and waits: to ask again at once would go round in circles."""
    there = page.url.startswith(at.application) and 400 <= page.status < 500 and "access_denied" in page.body
    at.check(there, "the application says so, and does not ask again", f"{page.status} {page.url} {page.body}")


def sign_in(at, browser):
    at.heading("Sign-in")
    page = browser.sign_in(browser.open(at.application + "/"))
    at.check("Hello Alice Example" in page.text, "the application greets Alice by her name", page.text)


def tokens(at, browser, api):
    at.heading("Tokens")
    page = browser.open(at.application + "/me")
    at.check(page.status == 200 and page.json()["email"] == "alice@example.com", "userinfo, with the access token", page.body)
    if api:
        page = browser.open(at.application + api)
        at.check(page.status == 200 and "hello" in page.json(), "and an API with the same token", page.body)
    at.say("    … the access token expires (5 s in this try)")
    time.sleep(6)
    page = browser.open(at.application + "/me")
    at.check(page.status == 200, "userinfo, after a refresh", page.body)
    at.say("    … it expires again, and ten requests need a refresh at once")
    time.sleep(6)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        pages = list(pool.map(lambda _: browser.open(at.application + "/me", quiet=True), range(10)))
    statuses = sorted(page.status for page in pages)
    at.check(statuses == [200] * 10, "all ten were answered: a refresh that is repeated at once is not a theft", statuses)
    time.sleep(6)
    page = browser.open(at.application + "/me")
    at.check(page.status == 200, "and the family goes on after it", page.body)


def ending(at, browser):
    at.heading("The session is ended at Mooring")
    at.end_sessions()
    page = browser.open(at.application + "/me")
    at.check(page.status == 401, "the next use of the tokens is refused", page.body)
    page = browser.open(at.application + "/")
    at.check(page.form_with("password") is not None, "and Alice has to sign in again", page.text)
    page = browser.sign_in(page)
    at.check("Hello Alice Example" in page.text, "which she does", page.text)


def being_told(at, browser, seconds=5):
    at.heading("The session is ended, and the application is told (back-channel logout)")
    at.end_sessions()
    at.say("    … and nothing is asked of the application that would need its tokens")
    until = time.monotonic() + seconds
    while browser.open(at.application + "/", quiet=True, follow=False).status == 200 and time.monotonic() < until:
        time.sleep(0.2)
    page = browser.open(at.application + "/")
    at.check(page.form_with("password") is not None, f"within {seconds} s it knows, and Alice has to sign in again", page.text)
    page = browser.sign_in(page)
    at.check("Hello Alice Example" in page.text, "which she does", page.text)


def signing_out(at, browser):
    at.heading("Sign-out")
    page = browser.open(at.application + "/sign-out")
    at.check(page.url.startswith(at.application + "/bye"), "by way of Mooring back to the application", page.url)
    left = [session for session in at.sessions("--user", "alice")]
    at.check(not left, "no session of Alice is left", left)
    page = browser.open(at.application + "/")
    at.check(page.form_with("password") is not None, "the application asks for a sign-in", page.text)
