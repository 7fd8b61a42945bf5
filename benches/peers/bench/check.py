"""Whether a subject does what it is said to do: asked through an upstream that answers with the request it got."""

import http.client
import ssl

from ground import make_keys
from machine import Failed

SPOOFED = "spoofed-by-the-client"


def check(running, keys):
    """Raises unless a good key passes, a bad one is refused, and what reaches the upstream is clean."""
    subject = running.subject
    if subject.authenticates:
        status, body = ask(running, wrong(keys[0]))
        expect(subject, status == 401, "a wrong key gets %d" % status)
    status, body = ask(running, keys[0])
    expect(subject, status == 200, "a good key gets %d" % status)
    lines = [line for line in body.lower().split("\r\n")[1:] if line]
    expect(subject, lines, "the upstream saw nothing")
    if not subject.authenticates:
        return
    expect(subject, keys[0].lower() not in body.lower(), "the key reaches the upstream")
    users = [line.split(":", 1)[1].strip() for line in lines if line.startswith("x-user-id:")]
    expect(subject, len(users) == 1 and users[0] not in ("", SPOOFED), "the upstream is told of %s" % users)
    for name in ("x-scopes", "x-user-id"):
        expect(subject, any(line.startswith(name + ":") for line in lines), "no %s is set" % name)


def ask(running, key):
    host, port = running.address.rsplit(":", 1)
    if running.place.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, int(port), timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        fields = {"X-Api-Key": key, "X-User-Id": SPOOFED, "Host": "gateway.example"}
        connection.request("GET", running.subject.path + "echo", headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except OSError as error:
        raise Failed("%s: %s: %s" % (running.subject.name, error, running.processes[-1].last_words())) from error
    finally:
        connection.close()


def wrong(key):
    """A key of the right shape that nobody has; its checksum is right too."""
    return make_keys(1, seed=len(key) + 1000)[0]


def expect(subject, right, what):
    if not right:
        raise Failed("%s: %s" % (subject.name, what))
