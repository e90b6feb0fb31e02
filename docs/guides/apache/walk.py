import concurrent.futures
import shutil
import time

from harness import Browser, Failed


def walk(at):
    if not shutil.which("apache2", path="/usr/sbin:/usr/bin"):
        raise Failed("no apache2: on Debian, apt-get install apache2 libapache2-mod-auth-openidc")
    at.mooring(tokens__access="12s")
    # What Apache reads must not be below a folder that its user may not enter.
    work = at.data / "apache"
    shutil.copytree(at.folder, work)
    work.chmod(0o755)
    for name in ("site.conf", "server.conf"):
        file = work / name
        text = at.here(file.read_text())
        file.write_text(text)
    at.component(
        "apache2", "-DFOREGROUND", "-f", str(work / "server.conf"),
        WORK=str(work), HTDOCS=str(work / "htdocs"), ready="/bye.html",
    )
    browser = Browser(at)
    at.heading("A refusal")
    for leaves in (browser.cancel, browser.deny):
        page = leaves(browser.open(at.application + "/"))
        there = page.url.startswith(at.application) and "access_denied" in page.body
        at.check(there, "Apache says so, and does not ask again", f"{page.status} {page.url} {page.body}")

    at.heading("Sign-in")
    page = browser.sign_in(browser.open(at.application + "/"))
    at.check("Hello Alice Example" in page.text, "the page behind Apache greets Alice by her name", page.text)

    at.heading("Tokens")
    told = browser.open(at.application + "/oidc?info=json").json()
    at.check(told["userinfo"]["email"] == "alice@example.com", "the module has her userinfo", told)
    first = told["access_token"]
    api(at, first, 200, "an API behind Apache takes the access token")
    at.say("    … the access token expires (12 s in this try), and ten requests come at once")
    time.sleep(13)
    api(at, first, 401, "the API refuses the old one")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        pages = list(pool.map(lambda _: browser.open(at.application + "/", quiet=True), range(10)))
    at.check(all("Hello" in page.text for page in pages), "all ten were answered", [page.text for page in pages])
    second = browser.open(at.application + "/oidc?info=json").json()["access_token"]
    at.check(second != first, "with a new access token")
    api(at, second, 200, "which the API takes")

    at.heading("The session is ended at Mooring")
    at.end_sessions()
    api(at, second, 401, "the API refuses the token at once, since it asks")
    time.sleep(3)
    page = browser.open(at.application + "/")
    at.check(page.form_with("password") is not None, "the pages ask for a sign-in, since Apache was told", page.text)
    page = browser.sign_in(page)
    at.check("Hello Alice Example" in page.text, "which Alice does", page.text)
    at.check("notice.delivered" in at.trail("apache"), "Mooring has on record that it told Apache")

    at.heading("Sign-out")
    page = browser.open(f"{at.application}/oidc?logout={at.application}/bye.html")
    at.check("You are signed out" in page.text, "by way of Mooring back to Apache", page.text)
    at.check(not at.sessions("--user", "alice"), "no session of Alice is left")
    page = browser.open(at.application + "/")
    at.check(page.form_with("password") is not None, "the page asks for a sign-in", page.text)


def api(at, token, expected, line):
    import urllib.error
    import urllib.request

    request = urllib.request.Request(at.application + "/api/hello.html", headers={"Authorization": f"Bearer {token}"})
    try:
        status = urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as refused:
        status = refused.code
    at.say(f"    GET  {at.application}/api/hello.html (Authorization: Bearer mo_at_…)  {status}")
    at.check(status == expected, line, status)
