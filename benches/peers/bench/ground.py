"""What the subjects stand on: keys, a certificate, and Latchgate's store with those keys in it."""

import csv
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import zlib

from machine import Failed

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEYS = 10_000
# More than any key asks for here: the limit is counted, and never reached.
RATE = 6_000_000
# The last one fits, so that all are looked at.
NETWORKS = ["10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8"]


def checksum(text):
    """CRC-32 in base 62, as the profile `offload` ends its keys."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        digits = DIGITS[rest % 62] + digits
        rest //= 62
    return digits


def make_keys(count, seed=1):
    """Keys of the profile `offload`, the same ones for the same seed."""
    source = random.Random(seed)
    keys = []
    for _ in range(count):
        public, secret = ("".join(source.choices(DIGITS, k=length)) for length in (8, 32))
        text = "osk_%s_%s" % (public, secret)
        keys.append(text + checksum(text))
    return keys


def write_lines(path, lines):
    with open(path, "w") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def certificate(folder):
    """A self-signed ECDSA certificate (P-256): (certificate, key, both in one file)."""
    names = [os.path.join(folder, name) for name in ("cert.pem", "cert.key", "both.pem")]
    cert, key, both = names
    if not os.path.exists(both):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "3650", "-subj", "/CN=gateway.example", "-addext", "subjectAltName=DNS:gateway.example"]
        run([*command, "-keyout", key, "-out", cert])
        with open(both, "wb") as out:
            for name in (cert, key):
                with open(name, "rb") as part:
                    shutil.copyfileobj(part, out)
    return names


def run(command, **options):
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )
    if done.returncode != 0:
        raise Failed("%s: %s" % (" ".join(map(str, command)), (done.stderr or done.stdout).strip()[-800:]))
    return done.stdout


class Store:
    """A folder that `latchgate init` made, with keys that `latchgate keys import` took."""

    def __init__(self, program, folder, keys, networks=None):
        self.folder = folder
        ready = os.path.join(folder, "ready")
        mark = "%s %d %s" % (fingerprint(program), len(keys), hashlib.sha256("".join(keys).encode()).hexdigest())
        mark += " %d" % len(networks or NETWORKS)
        if not (os.path.exists(ready) and open(ready).read() == mark):
            shutil.rmtree(folder, ignore_errors=True)
            run([program, "init", "--dir", folder, "--upstream", "http://127.0.0.1:9"])
            self.take(program, keys, networks or NETWORKS)
            with open(ready, "w") as file:
                file.write(mark)
        self.team = team(folder)

    @classmethod
    def at(cls, folder):
        """One that is there already."""
        store = cls.__new__(cls)
        store.folder, store.team = folder, team(folder)
        return store

    def take(self, program, keys, networks):
        """Imports keys, which are active at once."""
        table = os.path.join(self.folder, "keys.csv")
        fields = ["name", "team", "user", "prefix", "hash", "scopes", "allowed_ips", "rate_limit_per_minute"]
        with open(table, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(fields)
            for key in keys:
                digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
                prefix, allowed = key.split("_")[1], " ".join(networks)
                rows.writerow([prefix, "default", "admin@localhost", prefix, digest, "scan:read", allowed, RATE])
        run([program, "keys", "import", "--config", os.path.join(self.folder, "latchgate.toml"), table])
        os.remove(table)


def team(folder):
    """The id of a store's only team."""
    store = sqlite3.connect(os.path.join(folder, "latchgate.db"))
    try:
        return store.execute("SELECT id FROM teams").fetchone()[0]
    finally:
        store.close()


def fingerprint(program):
    """Enough of a binary to know it again."""
    with open(program, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
