import web_application


def walk(at):
    at.copy()
    at.prepare("go", "build", "-o", "app", ".")
    # No shorter: x/oauth2 refreshes ten seconds early, so that what expires sooner is refreshed at every use.
    at.mooring(tokens__access="5s")
    at.component("./app", ISSUER=at.issuer, HERE=at.application, ready="/bye")
    web_application.walk(at, "go-app", api="/hello")
