"""Who is compared: each gateway's configuration, how it is started, and what it can do."""

import json
import os
import shutil
from dataclasses import dataclass

import envoy
from ground import write_lines
from machine import GATEWAY_CORES, Process, files, free_address, tree

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

EVERYTHING = frozenset({"http", "tls", "h2", "grpc"})


@dataclass
class Ground:
    """What all subjects share."""

    tool: str
    pingora: str
    envoy: str
    keys: list
    keys_file: str
    certificate: tuple
    folder: str
    upstream: str = ""
    grpc_upstream: str = ""


@dataclass
class Place:
    """Where one run of a subject happens."""

    folder: str
    listen: str
    listen_tls: str
    upstream: str
    grpc_upstream: str
    key_service: str
    cert: str
    key: str
    both: str
    cores: list
    buffers: str
    # Whether clients come over TLS; most subjects listen for both.
    tls: bool

    @property
    def workers(self):
        return len(self.cores)


@dataclass
class Subject:
    """One gateway in one configuration."""

    name: str
    text: str
    start: object
    authenticates: bool = False
    speaks: frozenset = EVERYTHING
    needs_key_service: bool = False
    # Latchgate's routes are told apart by path; the others take any.
    path: str = "/v1/teams/team/scans/"


class Running:
    """A subject at work. Ended with the block."""

    def __init__(self, subject, ground, tls=False, cores=None, buffers=""):
        self.subject, self.ground = subject, ground
        folder = os.path.join(ground.folder, "run", subject.name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        cert, key, both = ground.certificate
        addresses = [free_address() for _ in range(3)]
        self.place = Place(
            folder, addresses[0], addresses[1], ground.upstream, ground.grpc_upstream, addresses[2],
            cert, key, both, cores or GATEWAY_CORES, buffers, tls,
        )  # fmt: skip
        self.processes = []

    def __enter__(self):
        place, ground = self.place, self.ground
        try:
            if self.subject.needs_key_service:
                service = [ground.tool, "key-service", "--listen", place.key_service, "--keys", ground.keys_file]
                self.processes.append(Process(service, place.cores, place.folder, "key-service"))
                self.processes[-1].wait_for(place.key_service)
            command, options = self.subject.start(place, ground)
            self.processes.append(Process(command, place.cores, place.folder, self.subject.name, **options))
            self.processes[-1].wait_for(self.address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.end()

    @property
    def address(self):
        """Where clients connect to."""
        return self.place.listen_tls if self.place.tls else self.place.listen

    @property
    def ids(self):
        return tree([process.child.pid for process in self.processes])


def filled(name, place, **values):
    """A file of subjects/ with what stands between @ and @ put in; the path where it is written."""
    with open(os.path.join(HERE, "subjects", name)) as file:
        text = file.read()
    values = {
        "DIR": place.folder, "LISTEN": place.listen, "LISTEN_TLS": place.listen_tls, "UPSTREAM": place.upstream,
        "GRPC_UPSTREAM": place.grpc_upstream, "KEY_SERVICE": place.key_service, "CERTIFICATE": place.cert,
        "KEY": place.key, "BOTH": place.both, "WORKERS": str(place.workers), "BUFFERS": place.buffers, **values,
    }  # fmt: skip
    for word, value in values.items():
        text = text.replace("@%s@" % word, value)
    path = os.path.join(place.folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


# --- nginx

NGINX_IDENTITY = (
    '{0} X-Api-Key ""; {0} X-User-Id $gate_user; {0} X-Project-Id $gate_project; {0} X-Scopes "read,write"; '
    "{0} X-Request-Id $request_id; {0} X-Forwarded-For $remote_addr; {0} X-Forwarded-Proto $scheme;"
)
NGINX_IDENTITIES = {
    "PROXY": NGINX_IDENTITY.format("proxy_set_header"),
    "GRPC": NGINX_IDENTITY.format("grpc_set_header"),
}
NOTHING = dict.fromkeys(("MODULES", "HTTP", "SERVER", "LOCATION", "PROXY", "GRPC"), "")


def nginx(place, **values):
    return ["nginx", "-c", filled("nginx.conf", place, **{**NOTHING, **values})], {}


def nginx_plain(place, _):
    return nginx(place)


def nginx_lua(place, ground):
    identity = ('["%s"]={"user-%d","proj-%d"},' % (key, at, at % 100) for at, key in enumerate(ground.keys))
    write_lines(os.path.join(place.folder, "keys.lua"), ["return {", *identity, "}"])
    modules = "/usr/lib/nginx/modules/"
    return nginx(
        place,
        MODULES="load_module %sndk_http_module.so;\nload_module %sngx_http_lua_module.so;" % (modules, modules),
        HTTP='lua_package_path "%s/?.lua;/usr/share/lua/5.1/?.lua;;";\n'
        "  limit_req_zone $http_x_api_key zone=limit:16m rate=100000r/s;\n"
        '  init_by_lua_block { keys = require("keys") }' % place.folder,
        LOCATION='set $gate_user ""; set $gate_project "";\n'
        "      limit_req zone=limit burst=100000 nodelay;\n"
        "      access_by_lua_block {\n"
        "        local key = ngx.var.http_x_api_key\n"
        "        local found = key and keys[key]\n"
        "        if not found then return ngx.exit(401) end\n"
        "        ngx.var.gate_user = found[1]; ngx.var.gate_project = found[2]\n"
        "      }",
        **NGINX_IDENTITIES,
    )


def nginx_auth_request(place, _):
    return nginx(
        place,
        SERVER='location = /_auth { internal; proxy_http_version 1.1; proxy_set_header Connection ""; '
        'proxy_pass_request_body off; proxy_set_header Content-Length ""; '
        "proxy_set_header X-Original-URI $request_uri; proxy_pass http://keys; }",
        LOCATION="auth_request /_auth;\n"
        "      auth_request_set $gate_user $upstream_http_x_user_id;\n"
        "      auth_request_set $gate_project $upstream_http_x_project_id;",
        **NGINX_IDENTITIES,
    )


# --- HAProxy


def haproxy(place, frontend="", backends=""):
    most = str(min(30000, files() // 2 - 200))
    return ["haproxy", "-db", "-f", filled("haproxy.cfg", place, FRONTEND=frontend, BACKENDS=backends, MAXCONN=most)], {}


def haproxy_plain(place, _):
    return haproxy(place)


def haproxy_auth(place, ground):
    users = write_lines(
        os.path.join(place.folder, "users.map"), ("%s user-%d" % (key, at) for at, key in enumerate(ground.keys))
    )
    projects = write_lines(
        os.path.join(place.folder, "projects.map"),
        ("%s proj-%d" % (key, at % 100) for at, key in enumerate(ground.keys)),
    )
    rules = [
        "http-request set-var(txn.user) req.hdr(x-api-key),map_str(%s)" % users,
        "http-request deny deny_status 401 if !{ var(txn.user) -m found }",
        "http-request track-sc0 req.hdr(x-api-key) table limits",
        "http-request deny deny_status 429 if { sc0_http_req_rate(limits) gt 1000000 }",
        "http-request set-header X-User-Id %[var(txn.user)]",
        "http-request set-header X-Project-Id %%[req.hdr(x-api-key),map_str(%s)]" % projects,
        "http-request set-header X-Scopes read,write",
        "http-request set-header X-Request-Id %[uuid()]",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Forwarded-Proto http",
        "http-request del-header X-Api-Key",
    ]
    limits = "backend limits\n  stick-table type string len 64 size 100k expire 60s store http_req_rate(10s)"
    return haproxy(place, "\n  ".join(rules), limits)


# --- Envoy, Caddy, Pingora, the floor


def envoy_with(place, ground, keys):
    path = os.path.join(place.folder, "envoy.json")
    with open(path, "w") as file:
        json.dump(envoy.configuration(place, keys, lambda at: "user-%d" % at), file)
    flags = ["--concurrency", place.workers, "--disable-hot-restart", "--log-level", "error"]
    return [ground.envoy, "-c", path, *flags], {}


def envoy_plain(place, ground):
    return envoy_with(place, ground, [])


def envoy_auth(place, ground):
    return envoy_with(place, ground, ground.keys)


def caddy(place, handlers="", proxy=""):
    port = place.listen.rsplit(":", 1)[1]
    path = filled("Caddyfile", place, HANDLERS=handlers, PROXY=proxy, PORT=port)
    home = {**os.environ, "HOME": place.folder, "XDG_DATA_HOME": place.folder, "XDG_CONFIG_HOME": place.folder}
    return ["caddy", "run", "--adapter", "caddyfile", "--config", path], {"env": home}


def caddy_plain(place, _):
    return caddy(place)


def caddy_forward_auth(place, _):
    ask = (
        "forward_auth %s {\n\t\turi /_auth\n\t\tcopy_headers X-User-Id X-Project-Id\n"
        "\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 512\n\t\t}\n\t}"
    )
    return caddy(place, ask % place.key_service, "header_up -X-Api-Key\n\t\theader_up X-Scopes read,write")


def pingora_plain(place, ground):
    return [ground.pingora, place.listen, place.upstream], {}


def pingora_auth(place, ground):
    return [ground.pingora, place.listen, place.upstream, ground.keys_file], {}


def relay(place, ground):
    return [ground.tool, "relay", "--listen", place.listen, "--upstream", place.upstream], {}


PLAIN = frozenset({"http"})

PEERS = [
    Subject("relay", "bytes passed on, nothing parsed: the floor", relay, speaks=PLAIN),
    Subject("nginx", "proxy_pass", nginx_plain),
    Subject("haproxy", "a plain proxy", haproxy_plain),
    Subject("envoy", "a plain proxy", envoy_plain),
    Subject("pingora", "a plain proxy", pingora_plain, speaks=PLAIN),
    Subject("caddy", "reverse_proxy", caddy_plain, speaks=PLAIN),
    Subject("nginx-lua", "a Lua table of keys, limit_req by key, headers", nginx_lua, True),
    Subject("haproxy-map", "a map of keys, stick-table by key, headers", haproxy_auth, True),
    Subject("pingora-map", "a HashMap of keys, headers", pingora_auth, True, PLAIN),
    Subject("nginx-auth_request", "a key service, headers", nginx_auth_request, True, needs_key_service=True),
    Subject("envoy-api_key_auth", "keys in its filter, one bucket for all, headers", envoy_auth, True),
    Subject("caddy-forward_auth", "a key service, headers", caddy_forward_auth, True, PLAIN, True),
]
