"""Measures Latchgate beside its peers: the half of `benches/peers/run` that comes after everything is built."""

import argparse
import json
import os
import re
import signal
import sys
import time

import ground as grounds
import machine
import plot
import tables
from growth import NAMES, growth
from latchgate import Latchgate
from machine import Failed
from scenarios import SCENARIOS, Bench, check_all, folder
from storms import storms
from subjects import HERE, PEERS, Ground

ROOT = os.path.dirname(os.path.dirname(HERE))


def arguments():
    parser = argparse.ArgumentParser(
        prog="benches/peers/run",
        description="Latchgate beside nginx, HAProxy, Envoy, Caddy and Pingora on the same work, in interleaved rounds.",
        epilog="Without a scenario: %s; about 16 minutes, with --quick 4. Apart from them, of Latchgate alone: growth (about 12 minutes "
        "and 12 GB) and storms (about 3)." % ", ".join(SCENARIOS),
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", choices=[*SCENARIOS, "growth", "storms", []], help="what to measure")
    parser.add_argument("--quick", action="store_true", help="`keyed` alone (speed, time at a rate, memory), core subjects")
    parser.add_argument("--gateway", metavar="PATH", help="a built latchgate; left out: cargo build --release")
    parser.add_argument("--against", metavar="PATH", help="a second one to compare it with, in the same rounds")
    parser.add_argument("--only", metavar="NAME,...", help="these subjects alone")
    parser.add_argument("--rounds", type=int, default=0, help="of `keyed`; 5, or 4 with --quick")
    parser.add_argument("--stored", type=int, default=10_000_000, metavar="N", help="the most stored keys of `growth`; 10000000")
    parser.add_argument("--stored-in", metavar="FOLDER", help="where the large stores of `growth` stay, to be used again")
    parser.add_argument("--check", action="store_true", help="install, build, start and check every subject; measure nothing")
    parser.add_argument("--write", action="store_true", help="put the tables into benches/peers/README.md")
    parser.add_argument("--tables", metavar="JSON", help="only print the tables of an earlier run")
    return parser.parse_args()


def main():
    options = arguments()
    if options.tables:
        with open(options.tables) as file:
            finish(json.load(file), options)
        return
    machine.prepare()
    for path in filter(None, (program_of(options), options.against)):
        if not os.access(path, os.X_OK):
            raise Failed("%s is no program" % path)
    home = folder(ROOT)
    began = time.monotonic()
    ground, subjects = prepare(options, home)
    only = set(options.only.split(",")) if options.only else set()
    bench = Bench(ground, subjects, options.rounds or (4 if options.quick else 5), options.quick, only)
    result = {"meta": meta(options), "rows": bench.rows, "failures": bench.failures}
    if options.check:
        check_all(bench)
        if bench.failures:
            raise Failed("not sound: " + ", ".join(sorted({name for _, name, _ in bench.failures})))
        return
    for name in options.scenarios or (["keyed"] if options.quick else SCENARIOS):
        if name == "growth":
            growth(bench, program_of(options), options.stored, options.stored_in)
        elif name == "storms":
            storms(bench, program_of(options))
        else:
            SCENARIOS[name](bench)
        save(result, home)
    result["meta"]["minutes"] = round((time.monotonic() - began) / 60, 1)
    bench.say("%.1f minutes; every round is in %s" % (result["meta"]["minutes"], save(result, home)))
    finish(result, options)


def prepare(options, home):
    """Keys, certificate, stores, and everybody who takes part."""
    keys = grounds.make_keys(grounds.KEYS)
    build = os.path.join(home, "build", "release")
    ground = Ground(
        tool=os.path.join(build, "latchgate-peers"),
        pingora=os.path.join(build, "latchgate-peers-pingora"),
        envoy=os.environ.get("PEERS_ENVOY", "envoy"),
        keys=keys,
        keys_file=grounds.write_lines(os.path.join(home, "keys.txt"), keys),
        certificate=grounds.certificate(home),
        folder=home,
    )
    subjects = list(PEERS)
    for path, suffix in ((program_of(options), ""), (options.against, "-before")):
        if path:
            store = os.path.join(home, "store" + suffix)
            subjects += Latchgate.with_keys(path, store, keys).subjects(suffix)
    return ground, subjects


def program_of(options):
    """The gateway that is measured."""
    return os.path.abspath(options.gateway or os.path.join(ROOT, "target", "release", "latchgate"))


def meta(options):
    openssl = "/usr/bin/openssl" if os.path.exists("/usr/bin/openssl") else "openssl"
    asked = {
        "nginx": ("nginx", "-v"),
        "HAProxy": ("haproxy", "-v"),
        "Envoy": (os.environ.get("PEERS_ENVOY", "envoy"), "--version"),
        "Caddy": ("caddy", "version"),
        "OpenSSL": (openssl, "version"),
    }
    found = {name: re.search(r"(?<![\d.])\d+\.\d+\.\d+", machine.output(*command)) for name, command in asked.items()}
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine.describe(),
        "versions": [*("%s %s" % (name, match[0]) for name, match in found.items() if match), "Pingora 0.9.1"],
        "load_before": os.getloadavg()[0],
        "gateway": options.gateway or "target/release/latchgate",
        "against": options.against or "",
    }


def save(result, home):
    results = os.path.join(home, "results")
    os.makedirs(results, exist_ok=True)
    path = os.path.join(results, result["meta"]["date"].replace(" UTC", "").replace(" ", "T").replace(":", "") + ".json")
    with open(path, "w") as file:
        json.dump(result, file, indent=1)
    return path


def finish(result, options):
    text = tables.render(result)
    print(text)
    alone = {row["scenario"] for row in result["rows"]} <= {"growth", "storms"}
    if options.write:
        tables.write_between(os.path.join(HERE, "README.md"), "alone" if alone else "figures", text)
    grown = [row for row in result["rows"] if row["scenario"] == "growth"]
    if grown:
        path = os.path.join(HERE if options.write else folder(ROOT), "growth.svg")
        with open(path, "w") as file:
            file.write(plot.picture(plot.panels(grown, NAMES)))
        print("The picture: %s" % path)


# As every other end: whatever was started is ended first.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    main()
except Failed as error:
    sys.exit("peers: %s" % error)
except KeyboardInterrupt:
    sys.exit(130)
