"""What is measured, round by round, all subjects in each round."""

import json
import os
import subprocess
import time

import check
import load
import machine
from ground import write_lines
from machine import GATEWAY_CORES, LOAD_CORES, UPSTREAM_CORE, Failed, Process
from subjects import Running

# Seconds of one window, and of the warming before it.
WINDOW, WARM = 2.0, 0.4
RATE = 5000
IDLE = 5000
TUNED_NGINX = "proxy_buffer_size 64k; proxy_buffers 32 64k; proxy_busy_buffers_size 512k;"

# In this order. Of a whole run each takes at most so many seconds; then no further round begins.
BUDGETS = {"keyed": 420, "tls": 80, "handshakes": 60, "h2": 80, "grpc": 60, "bodies": 110, "idle": 60, "cores": 70}
QUICK_BUDGET = 210
# Of growth and of storms, each.
ALONE = 300

# Those that stand for their kind, where all would take too long.
CORE = ["relay", "nginx", "haproxy", "nginx-lua", "haproxy-map", "latchgate", "latchgate-open", "latchgate-before"]
TLS = ["nginx", "haproxy", "envoy", "nginx-lua", "haproxy-map", "envoy-api_key_auth", "latchgate", "latchgate-before"]
HANDS = ["nginx", "haproxy", "envoy", "latchgate", "latchgate-before"]


class Bench:
    """A run: who takes part, and every row that was measured."""

    def __init__(self, ground, subjects, rounds, quick, only):
        self.ground, self.rounds, self.quick = ground, rounds, quick
        self.subjects = {subject.name: subject for subject in subjects if not only or subject.name in only}
        self.rows, self.failures, self.sound = [], [], set()
        self.budgets = dict.fromkeys(BUDGETS, QUICK_BUDGET) if quick else BUDGETS

    def named(self, names):
        return [self.subjects[name] for name in names if name in self.subjects]

    def say(self, text):
        print("peers: %s" % text, flush=True)

    def add(self, scenario, subject, number, row):
        self.rows.append({"scenario": scenario, "subject": subject, "round": number, **row})

    def each_round(self, scenario, subjects, visit, rounds=None, before=None):
        """Goes round the subjects, starting with another one each time, until rounds or time are used up."""
        began, longest, budget = time.monotonic(), 0.0, self.budgets.get(scenario, ALONE)
        subjects = list(subjects)
        for number in range(rounds or self.rounds):
            started = time.monotonic()
            if number and started - began + longest > budget:
                self.say("%s: %d rounds fitted into its time" % (scenario, number))
                break
            if before:
                before(number)
            for at in range(len(subjects)):
                subject = subjects[(at + number) % len(subjects)]
                if (scenario, subject.name) in [failure[:2] for failure in self.failures]:
                    continue
                if time.monotonic() - began > 1.5 * budget:
                    self.say("%s: not even this round fitted into its time" % scenario)
                    return
                try:
                    visit(subject, number)
                except (Failed, OSError, subprocess.TimeoutExpired, ValueError) as error:
                    self.failures.append((scenario, subject.name, str(error)))
                    self.say("%s: %s is left out: %s" % (scenario, subject.name, error))
            longest = max(longest, time.monotonic() - started)

    def start(self, subject, keys=None, **options):
        """A subject at work, checked once in each way in which it is started; `keys`: others than everybody's."""
        running = Running(subject, self.ground, **options)
        running.__enter__()
        way = (subject.name, running.place.tls)
        if way not in self.sound:
            try:
                check.check(running, keys or self.ground.keys)
            except BaseException:
                running.__exit__()
                raise
            self.sound.add(way)
        return running

    def load(self, role, running, **options):
        usual = {"path": running.subject.path + "1?limit=10", "keys_file": self.ground.keys_file}
        row = load.measure(self.ground, role, running, **{**usual, "seconds": WINDOW, "warm": WARM, **options})
        if row["errors"] > row["requests"] / 1000:
            raise Failed("%d of %d failed: %s" % (row["errors"], row["requests"], row["first_error"]))
        return row

    def told(self, scenario, subject, row):
        line = "%-11s %-20s %7.2f us %8.0f/s  %3.0f %% busy" % (
            scenario, subject.name, row["us"], row["rps"], 100 * row["busy"],
        )  # fmt: skip
        self.say(line + ("  %.1f s stolen" % row["stolen_s"] if row["stolen_s"] > 0.1 else ""))

    def upstream(self, role="upstream"):
        ground = self.ground
        address = machine.free_address()
        command = [ground.tool, role, "--listen", address, "--core", UPSTREAM_CORE]
        process = Process(command, [UPSTREAM_CORE], ground.folder, role)
        process.wait_for(address)
        ground.upstream, ground.grpc_upstream = (address, "") if role == "upstream" else ("127.0.0.1:9", address)
        ground.upstream = ground.upstream or "127.0.0.1:9"
        ground.grpc_upstream = ground.grpc_upstream or "127.0.0.1:9"
        return process


def saturated(bench, scenario, names, rounds, role="load", label="", segment="", started=None, **options):
    """One window at full speed of each subject in each round; `started`: in which way the subjects are."""
    label, started = label or scenario, started or {}
    if role == "load" and started.get("tls"):
        options["tls"] = "yes"

    def visit(subject, number):
        more = {"path": segment if segment.startswith("/") else subject.path + segment} if segment else {}
        with Ended(bench.start(subject, **started)) as running:
            row = bench.load(role, running, **options, **more)
        bench.add(label, subject.name, number, row)
        bench.told(label, subject, row)

    bench.each_round(scenario, bench.named(names), visit, rounds)


class Ended:
    """Ends a subject that has been started already."""

    def __init__(self, running):
        self.running = running

    def __enter__(self):
        return self.running

    def __exit__(self, *_):
        self.running.__exit__()
        load.settle()


def keyed(bench):
    """Full speed, then a fixed rate, then what all that left in memory."""
    ground = bench.ground

    def visit(subject, number):
        with Ended(bench.start(subject)) as running:
            row = bench.load("load", running)
            bench.add("keyed", subject.name, number, row)
            bench.told("keyed", subject, row)
            bench.add("memory", subject.name, number, machine.memory(running.ids))
            bench.add("rate", subject.name, number, bench.load("load", running, rate=RATE, warm=0.1, connections=64))

    def direct(number):
        path = "/v1/teams/team/scans/1?limit=10"
        for scenario, options in (("keyed", {}), ("rate", {"rate": RATE})):
            row = load.direct(ground, ground.upstream, ground.keys_file, path, WINDOW, **options)
            bench.add(scenario, "direct", number, row)

    names = CORE if bench.quick else list(bench.subjects)
    with bench.upstream():
        bench.each_round("keyed", bench.named(names), visit, before=direct)


def tls(bench):
    with bench.upstream():
        saturated(bench, "tls", TLS, 3, started={"tls": True})


def handshakes(bench):
    with bench.upstream():
        saturated(bench, "handshakes", HANDS, 4, "handshakes", started={"tls": True})


def h2(bench):
    with bench.upstream():
        saturated(bench, "h2", TLS, 3, "streams", started={"tls": True}, connections=10, streams=10)


def grpc(bench):
    ten = {"connections": 10, "streams": 10}
    with bench.upstream("upstream-grpc"):
        # No answer of this upstream tells what reached it; the others' checks are of the same rules.
        bench.sound |= {(name, True) for name in bench.subjects}
        saturated(bench, "grpc", TLS, 3, "streams", segment="/calls/Once", started={"tls": True}, grpc="yes", **ten)


def bodies(bench):
    names = ["relay", "nginx", "haproxy", "nginx-lua", "haproxy-map", "latchgate", "latchgate-before"]
    sizes = (("64k", 65536, 64), ("1m", 1048576, 16))
    with bench.upstream():
        for segment, body, connections in sizes:
            saturated(
                bench, "bodies", names, 2, label="bodies-" + segment, segment=segment, body=body, seconds=1.5,
                connections=connections, started={"buffers": TUNED_NGINX},
            )  # fmt: skip


def idle(bench):
    """What a connection costs that does nothing: memory with five thousand of them, less what was there before."""
    ground = bench.ground
    # Few keys, and all of them known before: connections are weighed here.
    keys_file = write_lines(os.path.join(ground.folder, "few.txt"), ground.keys[:64])

    def visit(subject, number):
        with Ended(bench.start(subject)) as running:
            bench.load("load", running, keys_file=keys_file, seconds=0.3, warm=0.3, connections=8)
            before = machine.memory(running.ids)
            command = [ground.tool, "idle", "--address", running.address, "--connections", IDLE]
            command += ["--keys", keys_file, "--path", subject.path + "1?limit=10"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            with Process(command, LOAD_CORES, ground.folder, "idle", **pipes) as clients:
                said = clients.child.stdout.readline()
                if not said:
                    raise Failed(clients.last_words())
                opened = json.loads(said)["open"]
                after = machine.memory(running.ids)
            each = {kind: (after[kind] - before[kind]) / opened for kind in after}
            bench.add("idle", subject.name, number, {"connections": opened, **each})
            bench.say("idle        %-20s %7.2f KiB each" % (subject.name, each["pss"]))

    names = ["nginx", "haproxy", "nginx-lua", "haproxy-map", "envoy", "pingora", "caddy", "latchgate", "latchgate-before"]
    with bench.upstream():
        bench.each_round("idle", bench.named(names), visit, rounds=1)


def cores(bench):
    """The same load on one core and on two; one core is left for the load then."""
    names = ["nginx", "haproxy", "haproxy-map", "latchgate", "latchgate-before"]
    with bench.upstream():
        for gateway in (GATEWAY_CORES, [*GATEWAY_CORES, LOAD_CORES[0]]):
            saturated(
                bench, "cores", names, 3, label="cores-%d" % len(gateway), started={"cores": gateway},
                cores=LOAD_CORES[1:], connections=128,
            )  # fmt: skip


def check_all(bench):
    """Nothing is measured: every subject is started and checked."""
    with bench.upstream():
        for subject in bench.subjects.values():
            for over_tls in (False, True) if "tls" in subject.speaks else (False,):
                try:
                    with Ended(bench.start(subject, tls=over_tls)):
                        bench.say("%-20s %s is sound" % (subject.name, "TLS" if over_tls else "plain"))
                except (Failed, OSError) as error:
                    bench.failures.append(("check", subject.name, str(error)))
                    bench.say("%-20s %s" % (subject.name, error))


SCENARIOS = {
    "keyed": keyed,
    "tls": tls,
    "handshakes": handshakes,
    "h2": h2,
    "grpc": grpc,
    "bodies": bodies,
    "idle": idle,
    "cores": cores,
}


def folder(root):
    """Where a run's own files are."""
    path = os.path.join(root, "target", "peers")
    os.makedirs(os.path.join(path, "run"), exist_ok=True)
    return path
