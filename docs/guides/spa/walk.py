import sys
import time

from harness import ISSUER, Chromium


def walk(at):
    at.copy()
    app = at.work / "app.js"
    app.write_text(app.read_text().replace(ISSUER, at.issuer))
    at.prepare("npm", "install", "--no-package-lock", "--no-audit", "--no-fund")
    at.mooring(tokens__access="15s")
    at.component(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", at.application.rsplit(":", 1)[1])
    browser = Chromium(at)

    at.heading("Sign-in")
    browser.open(at.application + "/")
    browser.wait("#who", "Nobody")
    browser.click("#sign-in")
    browser.sign_in()
    browser.allow()
    browser.wait("#who", "Hello Alice Example")
    at.check(True, "the application greets Alice by her name")
    at.check(browser.url() == at.application + "/", "with neither code nor state left in the address", browser.url())

    at.heading("Tokens")
    browser.click("#me")
    browser.wait("#log", "alice@example.com")
    at.check(True, "userinfo, with the access token, across origins")
    at.say("    … the access tokens live for 15 s in this try; the library renews them 10 s before")
    time.sleep(12)
    tokens = browser.text("#log").count("tokens, good for")
    at.check(tokens >= 3, "they were renewed twice by refresh token, without an iframe", browser.text("#log"))
    frames = browser.script("return document.querySelectorAll('iframe').length")
    at.check(frames == 0, "no iframe on the page", frames)
    at.say("    … and five times at once, as when five parts of a page find the token expired")
    browser.click("#renew")
    browser.wait("#log", "renewed: 5 of 5")
    at.check(True, "all five were answered")

    at.heading("The session is ended at Mooring")
    at.end_sessions()
    browser.click("#me")
    browser.wait("#who", "Nobody")
    said = browser.text("#log")
    at.check("refused" in said, "the next use of the token is refused, and the application says so", said)
    at.say("    " + said.splitlines()[-1])

    at.heading("… and again, without a request of the application in between")
    browser.click("#pop-up")
    own = browser.other_window()
    browser.sign_in()
    browser.switch(own)
    browser.wait("#who", "Hello Alice Example")
    at.check(True, "signed in by way of a pop-up, which has closed")
    at.end_sessions()
    browser.wait("#who", "Nobody")
    said = browser.text("#log")
    at.check("refused" in said, "the next renewal is refused", said)
    at.say("    " + said.splitlines()[-1])

    at.heading("Sign-out")
    browser.click("#sign-in")
    browser.sign_in()
    browser.wait("#who", "Hello Alice Example")
    browser.click("#sign-out")
    browser.wait("#who", "Nobody")
    at.check(browser.url() == at.application + "/", "by way of Mooring back to the application", browser.url())
    at.check(not at.sessions("--user", "alice"), "no session of Alice is left")
    complaints = [line for line in browser.console() if "favicon" not in line and "400" not in line and "401" not in line]
    at.check(not complaints, "and the browser complained of nothing but the refusals", complaints)
    browser.quit()
