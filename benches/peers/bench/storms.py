"""Good traffic at a fixed rate while others make trouble: many keys never seen, or floods of keys that must not pass."""

import os
import random
import time

import ground as grounds
import load
from latchgate import Latchgate
from machine import LOAD_CORES
from scenarios import Ended

GOOD, NEW, REVOKED = 1000, 10_000, 100
RATE = 2000
SECONDS = 3.0
ROUNDS = 3
# Whoever floods comes from elsewhere: failures are counted by address.
STRANGER = "127.0.0.2"
PACED = 5000
FIRST = "10,000 keys first seen"
NOBODY = "nobody"


def other_secrets(keys):
    """Keys with the public part of those, a secret that is not theirs, and a checksum that fits."""
    source, made = random.Random(7), []
    for key in keys:
        text = "_".join([*key.split("_")[:2], "".join(source.choices(grounds.DIGITS, k=32))])
        made.append(text + grounds.checksum(text))
    return made


def storms(bench, program):
    home = bench.ground.folder
    keys = grounds.make_keys(GOOD + NEW + REVOKED, seed=3)
    good, new, revoked = keys[:GOOD], keys[GOOD : GOOD + NEW], keys[GOOD + NEW :]
    folder = os.path.join(home, "storms")
    store = grounds.Store(program, folder, keys)
    done = os.path.join(folder, "revoked")
    if not os.path.exists(done):
        for key in revoked:
            config = os.path.join(folder, "latchgate.toml")
            grounds.run([program, "keys", "revoke", key.split("_")[1], "--config", config])
        grounds.write_lines(done, ["yes"])
    kinds = {
        FIRST: new,
        "wrong secrets": other_secrets(new),
        "unknown prefixes": grounds.make_keys(NEW, seed=4),
        "revoked keys": revoked,
        "malformed keys": [key[:-1] + "!" for key in new],
    }
    lists = {
        kind: grounds.write_lines(os.path.join(home, "storm-%d.txt" % at), list_)
        for at, (kind, list_) in enumerate(kinds.items())
    }
    good_file = grounds.write_lines(os.path.join(home, "good.txt"), good)
    lists[NOBODY] = grounds.write_lines(os.path.join(home, "one.txt"), good[:1])
    subject = Latchgate(program, store).subjects()[0]
    subject.name = "storms"

    def visit(subject, number):
        with bench.upstream(), Ended(bench.start(subject, keys=good)) as running:
            path = subject.path + "1?limit=10"

            def good_traffic(seconds):
                return load.command_of(
                    bench.ground, "load", running.address, good_file, path, seconds, 0.3, LOAD_CORES[:1],
                    rate=RATE, connections=32,
                )  # fmt: skip

            def flood(kind, seconds, **options):
                return load.command_of(
                    bench.ground, "load", running.address, lists[kind], path, seconds, 0, LOAD_CORES[1:],
                    status=0, body=0, source=STRANGER, **options,
                )  # fmt: skip

            def beside(first, pause, second):
                """What the first measures that is begun, and what the second does, begun so much later."""
                first_core, second_core = LOAD_CORES[:1], LOAD_CORES[1:]
                if "--source" in first:
                    first_core, second_core = second_core, first_core
                with load.Background(first, first_core, bench.ground.folder, "beside") as background:
                    time.sleep(pause)
                    row = load.told(second, second_core, 40)
                row["rps"] = row["requests"] / row["seconds"]
                return background.row, row

            def add(name, row, others):
                bench.add("storms", name, number, {**row, "flood": others, "alone": alone})
                bench.say(
                    "storms      %-26s p99 %7.0f us, alone %5.0f; %6.0f/s others"
                    % (name, row["p99"], alone["p99"], others["rps"])
                )

            # Nobody floods, and yet no core is idle: what else this machine does disturbs the good traffic as it will then.
            _, alone = beside(flood(NOBODY, SECONDS + 1.2, rate=1, connections=1), 0.2, good_traffic(SECONDS))
            # Over in less than a second: the good traffic is there before.
            others = flood(FIRST, 20, once="yes", connections=256)
            add(FIRST, *beside(good_traffic(1.0), 0.6, others))
            for kind in [kind for kind in kinds if kind != FIRST]:
                for name, way in ((kind, {}), (kind + ", 5,000/s", {"rate": PACED})):
                    # What is wrong is answered late: many have to ask for it to be a flood.
                    others = flood(kind, SECONDS + 1.2, connections=1024, **way)
                    add(name, *reversed(beside(others, 0.2, good_traffic(SECONDS))))

    bench.each_round("storms", [subject], visit, ROUNDS)
