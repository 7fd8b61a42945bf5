"""Load, and what it measured."""

import json
import subprocess
import time

from machine import LOAD_CORES, Failed, Process, stolen


def measure(ground, role, running, keys_file, path, seconds, warm=0.4, cores=None, **options):
    """One window of load on a subject: a dictionary of what the load says, and of what follows from it."""
    command = command_of(ground, role, running.address, keys_file, path, seconds, warm, cores, **options)
    command += ["--processes", ",".join(map(str, running.ids))]
    before = stolen()
    row = told(command, cores, seconds + warm + 45)
    row["stolen_s"] = round(stolen() - before, 2)
    if not row["requests"]:
        raise Failed("nothing was answered: %s" % (row["first_error"] or "no time was left for it"))
    requests, seconds = row["requests"], row["seconds"]
    row["us"] = row["cpu_us"] / requests
    row["rps"] = row["requests"] / seconds
    row["busy"] = row["cpu_us"] / 1e6 / seconds / running.place.workers
    row["bytes_each"] = row["bytes"] / requests
    return row


def direct(ground, address, keys_file, path, seconds, **options):
    """The same without a gateway."""
    row = told(command_of(ground, "load", address, keys_file, path, seconds, 0.3, None, **options), None, seconds + 30)
    row["rps"] = row["requests"] / row["seconds"]
    row["bytes_each"] = row["bytes"] / max(row["requests"], 1)
    return row


def command_of(ground, role, address, keys_file, path, seconds, warm, cores, **options):
    command = [ground.tool, role, "--address", address, "--seconds", seconds, "--warm", warm]
    command += ["--cores", ",".join(map(str, cores or LOAD_CORES)), "--keys", keys_file, "--path", path]
    for name, value in options.items():
        command += ["--" + name, value]
    return list(map(str, command))


def told(command, cores, patience):
    """The one line that a program prints."""
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cores or LOAD_CORES)), *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience, check=False,
    )  # fmt: skip
    if done.returncode != 0 or not done.stdout.strip():
        raise Failed("%s: %s" % (" ".join(command[1:4]), done.stderr.strip()[-400:] or "it said nothing"))
    return json.loads(done.stdout)


class Background:
    """Load that goes on beside what the block does; `row` afterwards is what it measured."""

    def __init__(self, command, cores, folder, name):
        self.process = Process(command, cores, folder, name, stdout=subprocess.PIPE)
        self.row = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                said, _ = self.process.child.communicate(timeout=60)
                if not said.strip():
                    raise Failed("%s: %s" % (self.process.name, self.process.last_words()))
                self.row = json.loads(said)
                self.row["rps"] = self.row["requests"] / self.row["seconds"]
        finally:
            self.process.end()


def settle():
    """What ended a moment ago shall not weigh on what comes next."""
    time.sleep(0.05)
