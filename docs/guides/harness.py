"""What a try of a guide needs: a Mooring of its own, the component beside it, a browser, and a transcript.

Only Python's own library. Nothing of it belongs to Mooring or to the samples: they run without it.
"""

import html.parser
import http.cookiejar
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

GUIDES = pathlib.Path(__file__).resolve().parent
REPOSITORY = GUIDES.parent.parent
# As they stand in the guides; a try takes free ports instead and writes these in its transcript.
ISSUER = "http://localhost:8080"
APPLICATION = "http://127.0.0.1:3000"
PEOPLE = {"alice": "correct horse battery staple"}
LONG = 60


class Failed(Exception):
    """The walk did not go as the guide says."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Try:
    """One walk through one guide."""

    def __init__(self, name):
        self.name = name
        self.folder = GUIDES / name
        # Downloaded libraries stay here between tries.
        self.work = REPOSITORY / "target" / "guides" / name
        self.work.mkdir(parents=True, exist_ok=True)
        self.data = pathlib.Path(tempfile.mkdtemp(prefix=f"mooring-{name}-"))
        self.data.chmod(0o755)
        ports = free_port(), free_port()
        self.issuer, self.application = f"http://localhost:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        self.lines, self.running = [], []

    # ── the transcript ──────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, line=""):
        line = self.plain(line)
        self.lines.append(line)
        print(line, flush=True)

    def heading(self, line):
        self.say()
        self.say(f"## {line}")

    def check(self, true, line, found=None):
        if not true:
            raise Failed(f"{line}: found {found!r}" if found is not None else line)
        self.say(f"ok  {line}")

    def plain(self, text):
        """The same for everybody: the guide's own ports, no secrets, no paths of this machine."""
        text = text.replace(sys.executable, "python3").replace(f" {self.application.rsplit(':', 1)[1]}", " 3000")
        text = text.replace(self.issuer, ISSUER).replace(self.application, APPLICATION)
        # Within a URL, too.
        for here, there in ((self.issuer, ISSUER), (self.application, APPLICATION)):
            text = text.replace(urllib.parse.quote(here, safe=""), urllib.parse.quote(there, safe=""))
        text = text.replace(str(REPOSITORY), "…").replace(str(self.data), "…")
        text = re.sub(r"mo_(at|rt|ac)_[\w-]+", r"mo_\1_…", text)
        text = re.sub(r"eyJ[\w-]{8,}(\.[\w-]+)*", "eyJ…", text)
        return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>", text)

    def here(self, text):
        """A file of the guide with the ports of this try."""
        ports = [place.rsplit(":", 1)[1] for place in (ISSUER, self.issuer, APPLICATION, self.application)]
        text = re.sub(rf":{ports[0]}\b", f":{ports[1]}", text)
        return re.sub(rf":{ports[2]}\b", f":{ports[3]}", text)

    # ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def mooring(self, **settings):
        """Starts a Mooring with the guide's configuration and an empty database."""
        self.program = os.environ.get("MOORING") or build()
        # The configuration of the guide, word for word but for the ports.
        text = self.here((self.folder / "mooring.toml").read_text())
        (self.data / "mooring.toml").write_text(text)
        self.environment = {
            **os.environ,
            "MOORING_CONFIG": str(self.data / "mooring.toml"),
            "MOORING_LISTEN": f"127.0.0.1:{self.issuer.rsplit(':', 1)[1]}",
            "MOORING_DATA_DIR": str(self.data / "data"),
            "MOORING_METRICS__LISTEN": "off",
            "MOORING_LOG__FILTER": "warn",
            **{f"MOORING_{key.upper()}": value for key, value in settings.items()},
        }
        self.environment.pop("DATABASE_URL", None)
        self.start([self.program], "mooring", self.environment)
        self.wait_for(f"{self.issuer}/readyz")
        self.say("mooring --config mooring.toml")
        shown = ", ".join(f"MOORING_{key.upper()}={value}" for key, value in settings.items())
        self.say(f"    listening at {self.issuer}" + (f" ({shown})" if shown else ""))

    def command(self, *arguments):
        """Runs a command of Mooring beside the server and gives what it prints."""
        self.say("mooring " + " ".join(arguments))
        done = subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"mooring {arguments[0]}: {done.stderr}")
        return done.stdout

    def prepare(self, *command, **environment):
        """Runs something that has to be there before the component starts, in its copy of the sample."""
        self.run_in_copy(command, environment, "prepare")

    def component(self, *command, ready="/", **environment):
        """Starts the component in a copy of the sample, and waits until it answers."""
        process = self.start(list(command), "component", {**os.environ, **environment}, self.work)
        self.wait_for(self.application + ready, process)
        self.say(" ".join(command))
        self.say(f"    listening at {self.application}")
        return process

    def copy(self):
        """Copies the sample to where libraries may be installed."""
        for file in self.folder.iterdir():
            if file.is_file():
                shutil.copy(file, self.work)

    def run_in_copy(self, command, environment, what):
        log = self.data / f"{what}.log"
        with log.open("ab") as out:
            done = subprocess.run(
                command, cwd=self.work, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT
            )
        if done.returncode:
            raise Failed(f"{' '.join(command)}:\n{log.read_text()[-3000:]}")

    def start(self, command, what, environment, folder=None):
        log = (self.data / f"{what}.log").open("ab")
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        process.log = pathlib.Path(log.name)
        self.running.append(process)
        return process

    def wait_for(self, url, process=None):
        process = process or self.running[-1]
        until = time.monotonic() + LONG
        while time.monotonic() < until:
            if process.poll() is not None:
                raise Failed(f"it stopped: {process.log.read_text()[-3000:]}")
            try:
                urllib.request.build_opener(Still).open(url, timeout=5)
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        raise Failed(f"{url} does not answer: {process.log.read_text()[-3000:]}")

    def stop(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    # ── what Mooring knows ──────────────────────────────────────────────────────────────────────────────────────────

    def sessions(self, *arguments):
        return json.loads(self.command("session", "list", "--live", "--json", *arguments))

    def end_sessions(self, person="alice"):
        """What an operator does."""
        self.say("    " + self.command("session", "end", "--user", person).strip().replace("\n", "\n    "))

    def trail(self, client):
        """The actions in the audit trail that concern the client, oldest first."""
        events = [json.loads(line) for line in self.command("audit", "export").splitlines()]
        actions = [
            event["action"] + ("" if event["outcome"] == "done" else f" ({event['outcome']})")
            for event in events
            if event.get("client") == client
        ]
        runs = [(action, len(list(run))) for action, run in itertools.groupby(actions)]
        self.say("    " + ", ".join(action + (f" ×{count}" if count > 1 else "") for action, count in runs))
        return actions


def build():
    print("cargo build --release (a first one takes minutes; MOORING=/path/to/mooring uses another)", flush=True)
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], cwd=REPOSITORY, check=True)
    return str(REPOSITORY / "target" / "release" / "mooring")


# ── a browser without a window ──────────────────────────────────────────────────────────────────────────────────────


class Still(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by us, one by one."""

    def redirect_request(self, *_):
        return None


class Forms(html.parser.HTMLParser):
    """The forms of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.forms, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        if tag == "form":
            self.forms.append({"action": of.get("action", ""), "fields": {}, "buttons": []})
        elif tag in ("input", "button") and self.forms and of.get("name"):
            if tag == "button":
                self.forms[-1]["buttons"].append((of["name"], of.get("value", "")))
            else:
                self.forms[-1]["fields"][of["name"]] = of.get("value") or ""

    def handle_data(self, text):
        self.text.append(text)


class Page:
    def __init__(self, url, status, headers, body):
        self.url, self.status, self.headers, self.body = url, status, headers, body
        parsed = Forms(body)
        self.forms, self.text = parsed.forms, " ".join(" ".join(parsed.text).split())

    def json(self):
        return json.loads(self.body)

    def form_with(self, name):
        return next((f for f in self.forms if name in f["fields"] or name in dict(f["buttons"])), None)


class Browser:
    """Keeps cookies, follows redirects, fills in forms, and says so in the transcript."""

    def __init__(self, walk):
        self.walk = walk
        self.cookies = http.cookiejar.CookieJar()
        handler = urllib.request.HTTPCookieProcessor(self.cookies)
        self.opener = urllib.request.build_opener(Still, handler)

    def open(self, url, form=None, quiet=False, follow=True):
        """Goes to a place, and on to where that leads."""
        for _ in range(20):
            data = urllib.parse.urlencode(form).encode() if form is not None else None
            request = urllib.request.Request(url, data, {"Accept": "text/html,application/json"})
            try:
                with self.opener.open(request, timeout=LONG) as answer:
                    status, headers, body = answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as answer:
                status, headers, body = answer.code, answer.headers, answer.read()
            if not quiet:
                self.walk.say(f"    {'POST' if data is not None else 'GET '} {shortened(url)}  {status}")
            if status in (301, 302, 303, 307, 308) and follow:
                url, form = urllib.parse.urljoin(url, headers["Location"]), None
                continue
            return Page(url, status, headers, body.decode(errors="replace"))
        raise Failed(f"it goes round in circles at {url}")

    def submit(self, page, form, **more):
        return self.open(urllib.parse.urljoin(page.url, form["action"]), {**form["fields"], **more})

    def sign_in(self, page, person="alice"):
        """From the sign-in page through consent back to the application."""
        for _ in range(6):
            if form := page.form_with("password"):
                self.walk.say(f"    … {person} types name and password")
                page = self.submit(page, form, username=person, password=PEOPLE[person])
            elif (form := page.form_with("decision")) and ("decision", "allow") in form["buttons"]:
                self.walk.say("    … and allows what is asked for")
                page = self.submit(page, form, decision="allow")
            elif page.url.startswith(self.walk.issuer) and page.forms and "code" in page.forms[0]["fields"]:
                self.walk.say("    … and the answer is posted (form_post)")
                page = self.submit(page, page.forms[0])
            else:
                return page
        raise Failed(f"sign-in does not end: {page.url} {page.text}")

    def cancel(self, page):
        """Leaves the sign-in page."""
        self.walk.say("    … and alice cancels")
        return self.submit(page, page.form_with("cancel"), cancel="yes")

    def deny(self, page, person="alice"):
        """Signs in where that is asked for, and denies the application everything."""
        if form := page.form_with("password"):
            self.walk.say(f"    … {person} types name and password")
            page = self.submit(page, form, username=person, password=PEOPLE[person])
        self.walk.say("    … and denies what is asked for")
        return self.submit(page, page.form_with("decision"), decision="deny")


def shortened(url):
    """A URL whose long values do not hide what matters."""
    place, mark, query = url.partition("?")
    parts = []
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        random = name in ("state", "nonce", "code", "code_challenge", "id_token_hint", "session_state")
        parts.append(f"{name}=…" if random else f"{name}={value}")
    return place + mark + "&".join(parts)


# ── a browser that people use ───────────────────────────────────────────────────────────────────────────────────────


class Chromium:
    """A headless Chromium behind chromedriver (W3C WebDriver)."""

    ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

    def __init__(self, walk):
        self.walk = walk
        if not shutil.which("chromedriver"):
            raise Failed("no chromedriver: on Debian, apt-get install chromium chromium-driver")
        port = free_port()
        self.driver = f"http://127.0.0.1:{port}"
        walk.start(["chromedriver", f"--port={port}"], "chromedriver", os.environ)
        walk.wait_for(f"{self.driver}/status")
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": options}}
        capabilities["goog:loggingPrefs"] = {"browser": "ALL"}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = f"/session/{made['sessionId']}"

    def call(self, method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(
            self.driver + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=LONG) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as refused:
            raise Failed(json.load(refused)["value"]["message"]) from None

    def open(self, url):
        self.walk.say(f"    goes to {url}")
        self.call("POST", f"{self.session}/url", {"url": url})

    def url(self):
        return self.call("GET", f"{self.session}/url")

    def script(self, code, *arguments):
        return self.call("POST", f"{self.session}/execute/sync", {"script": code, "args": list(arguments)})

    def find(self, css):
        until = time.monotonic() + 20
        while True:
            try:
                found = self.call("POST", f"{self.session}/element", {"using": "css selector", "value": css})
                return f"{self.session}/element/{found[self.ELEMENT]}"
            except Failed:
                if time.monotonic() > until:
                    text = self.script("return document.body.innerText")
                    raise Failed(f"no {css} at {self.url()}: {text}; {self.console()}") from None
                time.sleep(0.1)

    def type(self, css, text):
        self.call("POST", f"{self.find(css)}/value", {"text": text})

    def click(self, css):
        self.call("POST", f"{self.find(css)}/click")

    def text(self, css):
        return self.call("GET", f"{self.find(css)}/text")

    def wait(self, css, text):
        until = time.monotonic() + 20
        while True:
            try:
                found = self.text(css)
            except Failed as gone:  # the page went on while it was read
                found = str(gone)
            if text in found:
                return found
            if time.monotonic() > until:
                raise Failed(f"{css} says {found!r}, not {text!r}, at {self.url()}; {self.console()}")
            time.sleep(0.1)

    def other_window(self):
        """Goes over to the pop-up; gives the window it came from."""
        own = self.call("GET", f"{self.session}/window")
        until = time.monotonic() + 20
        while len(handles := self.call("GET", f"{self.session}/window/handles")) < 2:
            if time.monotonic() > until:
                raise Failed(f"no pop-up; {self.console()}")
            time.sleep(0.1)
        self.walk.say("    … in a pop-up")
        self.switch(next(handle for handle in handles if handle != own))
        return own

    def switch(self, handle):
        self.call("POST", f"{self.session}/window", {"handle": handle})

    def console(self):
        """What the browser complained of."""
        return [entry["message"] for entry in self.call("POST", f"{self.session}/se/log", {"type": "browser"})]

    def add_authenticator(self):
        """A device that keeps passkeys, and whose person is always there (WebAuthn §11)."""
        self.call(
            "POST",
            f"{self.session}/webauthn/authenticator",
            {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
            },
        )

    def sign_in(self, person="alice"):
        self.type("input[name=username]", person)
        self.walk.say(f"    … {person} types name and password at {self.url().split('?')[0]}")
        self.type("input[name=password]", PEOPLE[person])
        self.click("form button[type=submit]")

    def deny(self):
        self.click("button[name=decision][value=deny]")
        self.walk.say("    … and denies what is asked for")

    def cancel(self):
        self.click("button[name=cancel]")
        self.walk.say("    … and cancels")

    def allow(self):
        self.click("button[name=decision][value=allow]")
        self.walk.say("    … and allows what is asked for")

    def quit(self):
        self.call("DELETE", self.session)
