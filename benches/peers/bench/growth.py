"""The same request while something grows: stored keys, routes, networks of a key, connections."""

import os
import shutil
import sqlite3

import check
import ground as grounds
import load
from latchgate import Latchgate
from machine import LOAD_CORES, files
from scenarios import WINDOW, Ended
from subjects import Subject

# Keys that are asked for, whatever else is stored; so many of them for the first time while nobody else asks.
USED, ALONE = 1000, 400
BASE = {"stored": USED, "routes": 1, "networks": 3, "connections": 64}
STEPS = {
    "stored": (USED, 100_000, 10_000_000),
    "routes": (1, 1000),
    "networks": (1, 50),
    "connections": (10, 10_000),
}
NAMES = {"stored": "stored keys", "routes": "routes", "networks": "networks of a key", "connections": "connections"}
ROUNDS = 3

FILL = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}),
scattered (n, x) AS (SELECT n, (n * 618033988751) % 218340105584896 FROM numbers)
INSERT INTO api_keys ({columns}) SELECT {values} FROM scattered, (SELECT * FROM api_keys LIMIT 1) AS one
"""
MADE = {
    # As ordered as those that the program makes, and behind them.
    "id": "printf('f%07x-0000-7000-8000-%012x', n, n)",
    "family_id": "printf('f%07x-0000-7000-8000-%012x', n, n)",
    "name": "'filler'",
    # The multiplier shares no factor with 62^8, so that no two are alike.
    "prefix": " || ".join("substr('%s', 1 + (x / %d) %% 62, 1)" % (grounds.DIGITS, 62**place) for place in range(8)),
    "hash": "printf('sha256:%064x', n)",
}


def fill(path, count):
    """Rows of keys that nobody has, with everything that a row has; indexes are built once all are there."""
    store = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "locking_mode = EXCLUSIVE"):
            store.execute("PRAGMA " + pragma).fetchall()
        wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'api_keys' AND sql NOT NULL"
        indexes = store.execute(wanted).fetchall()
        for name, _ in indexes:
            store.execute('DROP INDEX "%s"' % name)
        columns = [row[1] for row in store.execute("PRAGMA table_info(api_keys)")]
        values = ", ".join(MADE.get(column, 'one."%s"' % column) for column in columns)
        store.execute("BEGIN")
        store.execute(FILL.format(count=count, columns=", ".join(columns), values=values))
        store.execute("COMMIT")
        for _, sql in indexes:
            store.execute(sql)
        store.execute("PRAGMA locking_mode = NORMAL").fetchall()
        store.execute("PRAGMA journal_mode = WAL").fetchall()
        return store.execute("SELECT count(*) FROM api_keys").fetchone()[0]
    finally:
        store.close()


def stores(bench, program, most, kept):
    """The stores by (stored keys, networks); each holds the same keys that are asked for. `kept`: where the large ones stay."""
    keys, home, made = bench.ground.keys[:USED], bench.ground.folder, {}
    for networks in (1, 3, 50):
        listed = ["10.%d.0.0/16" % at for at in range(networks - 1)] + ["127.0.0.0/8"]
        made[USED, networks] = grounds.Store(program, os.path.join(home, "growth-%d" % networks), keys, listed)
    for count in STEPS["stored"][1:]:
        count = min(count, most)
        if (count, 3) in made:
            continue
        folder = os.path.join(kept or home, "growth-stored-%d" % count)
        filled, path = os.path.join(folder, "filled"), os.path.join(folder, "latchgate.db")
        if not (kept and os.path.exists(filled)):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made[USED, 3].folder, folder)
            there = fill(path, count - USED)
            grounds.write_lines(filled, [str(there)])
        bench.say("growth: %d keys are stored, %.1f GB" % (count, os.path.getsize(path) / 1e9))
        made[count, 3] = grounds.Store.at(folder)
    return made


def growth(bench, program, most, kept):
    made = {}
    try:
        with bench.upstream():
            made = stores(bench, program, most, kept)
            variants = {}
            for what, steps in STEPS.items():
                for step in steps:
                    step = min(step, most) if what == "stored" else step
                    variants["%s %d" % (what, step)] = {**BASE, what: step}
            measure(bench, program, made, variants)
    finally:
        for (count, _), store in made.items():
            if count != USED and not kept:
                shutil.rmtree(store.folder, ignore_errors=True)


def measure(bench, program, made, variants):
    keys, home = bench.ground.keys[:USED], bench.ground.folder
    keys_file, alone, crowd = (
        grounds.write_lines(os.path.join(home, "used%s.txt" % name), some)
        for name, some in (("", keys), ("-alone", keys[:ALONE]), ("-crowd", keys[ALONE:]))
    )

    def subject(name, of):
        gateway = Latchgate(program, made[of["stored"], of["networks"]], of["routes"])
        return Subject(name, "", gateway.command, True, path="/v1/teams/%s/scans/" % gateway.store.team)

    def visit(one, number):
        of = variants[one.name]
        connections = min(of["connections"], files() // 2 - 500)
        path = one.path + "1?limit=10"
        with Ended(bench.start(one)) as running:
            # Its socket is open before anybody serves it: a start is no part of a key's first request.
            check.ask(running, "nobody's")
            row = {}
            for which, options in (
                ("first", {"keys_file": alone, "connections": 1, "cores": LOAD_CORES[:1]}),
                ("crowd", {"keys_file": crowd, "connections": 64}),
            ):
                first = load.measure(bench.ground, "load", running, path=path, seconds=20, warm=0, once="yes", **options)
                row.update({which + "_p50": first["p50"], which + "_p99": first["p99"]})
            options = {"path": path, "keys_file": keys_file, "connections": connections}
            row.update(load.measure(bench.ground, "load", running, seconds=WINDOW, warm=0.5, **options))
        row["of"] = {**of, "connections": connections}
        bench.add("growth", one.name, number, row)
        bench.told("growth", one, row)

    bench.each_round("growth", [subject(*variant) for variant in variants.items()], visit, ROUNDS)
