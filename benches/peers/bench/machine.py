"""Processes, cores and memory of this machine."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time

# Which cores do what. Everything that a gateway needs, its key service included, shares the gateway's.
UPSTREAM_CORE = 0
GATEWAY_CORES = [1]
LOAD_CORES = [2, 3]

# Enough for ten thousand connections on both sides of a gateway.
FILES = 65536


class Failed(Exception):
    """Something that the bench needs did not come about; the text is for people."""


def prepare():
    """Ten thousand connections need as many files; fewer than four cores leave nothing to measure."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, FILES), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
        except (ValueError, OSError):
            continue
    if not {0, 1, 2, 3} <= os.sched_getaffinity(0):
        raise Failed("cores 0 to 3 are needed: upstream, gateway, and two for the load")


def files():
    """How many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_address():
    """An address of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % listener.getsockname()[1]


class Process:
    """A program on its cores, ended with the block that started it."""

    def __init__(self, command, cores, folder, name, **options):
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        # A bench that is killed leaves nobody behind, least of all those that never sleep.
        mortal = ["setpriv", "--pdeathsig", "KILL"]
        command = [*mortal, "taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
        with open(self.log, "wb") as log:
            options.setdefault("stdout", log)
            self.child = subprocess.Popen(
                command, stderr=log, stdin=options.pop("stdin", subprocess.DEVNULL), start_new_session=True, **options
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def wait_for(self, address, seconds=20):
        """Until somebody listens there."""
        host, port = address.rsplit(":", 1)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise Failed("%s ended: %s" % (self.name, self.last_words()))
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed("%s does not listen on %s: %s" % (self.name, address, self.last_words()))

    def last_words(self):
        with open(self.log, "rb") as log:
            return log.read()[-600:].decode(errors="replace").strip() or "it said nothing"

    def end(self):
        """Ends this process and those that it started, and nobody else's."""
        for kind, patience in ((signal.SIGTERM, 1.5), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.child.pid, kind)
            except ProcessLookupError:
                pass
            try:
                self.child.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue


def tree(roots):
    """The ids of these processes and of all that they started."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
            except (OSError, IndexError, ValueError):
                continue
    found, todo = [], list(roots)
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children.get(process, [])
    return found


def memory(processes):
    """Resident and proportional memory in KiB."""
    sums = {"rss": 0, "pss": 0}
    for process in processes:
        try:
            with open("/proc/%d/smaps_rollup" % process) as rollup:
                for line in rollup:
                    name = line.split(":")[0].lower()
                    if name in sums:
                        sums[name] += int(line.split()[1])
        except OSError:
            continue
    return sums


def stolen():
    """Seconds that the host took from this machine's cores, all together, since it started."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def output(*command):
    """What a program prints, on either stream, or nothing where it is missing."""
    if not shutil.which(str(command[0])):
        return ""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout + done.stderr).strip()


def describe():
    """The machine in one line."""
    model = ""
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    pretty = ""
    with open("/etc/os-release") as release:
        for line in release:
            if line.startswith("PRETTY_NAME="):
                pretty = line.split("=", 1)[1].strip().strip('"')
    return "%d cores, %s, kernel %s, %s" % (os.cpu_count(), model, os.uname().release, pretty)
