import web_application


def walk(at):
    at.copy()
    at.prepare("npm", "install", "--no-package-lock", "--no-audit", "--no-fund")
    at.mooring(tokens__access="5s")
    at.component("node", "app.mjs", ISSUER=at.issuer, HERE=at.application, ready="/jwks.json")
    web_application.walk(at, "node-app")
