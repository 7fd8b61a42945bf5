"""Latchgate as a subject: as it is shipped, with one worker for each core that it gets."""

import os
import subprocess

from ground import Store
from machine import free_address
from subjects import EVERYTHING, Subject

CONFIGURATION = """\
profile = "offload"
[listen]
gateway = "{gateway}"
admin = "{admin}"
ops = "{ops}"
workers = {workers}
[store]
url = "sqlite://{store}/latchgate.db"
secret_file = "{store}/secret.key"
[limits]
max_connections = 30000
{tls}
[[upstream]]
name = "backend"
targets = ["http://{upstream}"]
[[upstream]]
name = "calls"
targets = ["http://{grpc_upstream}"]
protocol = "h2"
[[route]]
name = "scans"
path = "/v1/teams/{{team_id}}/scans/{{*rest}}"
upstream = "backend"
require = {{ GET = "scan:read" }}
team = "{{team_id}}"
[[route]]
name = "calls"
path = "/calls/{{*rest}}"
upstream = "calls"
require = "scan:read"
[[route]]
name = "open"
path = "/open/{{*rest}}"
upstream = "backend"
credentials = ["none"]
"""
ONE_MORE = """\
[[route]]
name = "more-{at}"
path = "/v1/more{at}/{{id}}/things/{{*rest}}"
upstream = "backend"
require = {{ GET = "scan:read" }}
"""
CERTIFICATE = """\
[[tls.certificate]]
cert = "{cert}"
key = "{key}"
"""


class Latchgate:
    """One binary and its store."""

    def __init__(self, program, store, routes=1):
        self.program, self.store, self.routes = os.path.abspath(program), store, routes

    @classmethod
    def with_keys(cls, program, folder, keys):
        return cls(program, Store(os.path.abspath(program), folder, keys))

    def command(self, place, _):
        """Everything is switched on that is on by default; the access log goes to /dev/null."""
        path = os.path.join(place.folder, "latchgate.toml")
        with open(path, "w") as file:
            file.write(
                CONFIGURATION.format(
                    gateway=place.listen_tls if place.tls else place.listen,
                    admin=free_address(),
                    ops=free_address(),
                    workers=place.workers,
                    store=self.store.folder,
                    tls=CERTIFICATE.format(cert=place.cert, key=place.key) if place.tls else "",
                    upstream=place.upstream,
                    grpc_upstream=place.grpc_upstream or "127.0.0.1:9",
                )
            )
            file.writelines(ONE_MORE.format(at=at) for at in range(self.routes - 1))
        return [self.program, "serve", "--config", path], {"stdout": subprocess.DEVNULL}

    def subjects(self, suffix=""):
        """The same program asked for what needs a key, and for what needs none."""
        guarded = "/v1/teams/%s/scans/" % self.store.team
        return [
            Subject(
                "latchgate" + suffix, "key, team, 3 networks, rate limit, headers, access log, metrics, uses",
                self.command, True, EVERYTHING, path=guarded,
            ),
            Subject(
                "latchgate-open" + suffix, "the same program, a route without credentials", self.command,
                False, EVERYTHING, path="/open/",
            ),
        ]  # fmt: skip
