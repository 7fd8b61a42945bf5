"""Rows into tables, for people."""

from statistics import median

# A round in which the gateway was idle this much measured somebody else.
BUSY = 0.95

TITLES = {
    "keyed": ("One busy core", "GET, 8 header fields, 1 KiB body, one of 10,000 keys at random, 64 connections kept alive"),
    "tls": ("The same over TLS 1.3", "64 connections kept alive, HTTP/1.1"),
    "handshakes": ("New TLS 1.3 connections", "full handshakes, X25519, ECDSA P-256, no resumption; connect, shake hands, close"),
    "h2": ("HTTP/2 over TLS", "10 connections with 10 streams each, HTTP/1.1 to the upstream"),
    "grpc": ("gRPC over TLS", "unary calls, 10 connections with 10 streams each, HTTP/2 to the upstream"),
    "bodies-64k": ("Answers of 64 KiB", "64 connections"),
    "bodies-1m": ("Answers of 1 MiB", "16 connections"),
    "cores-1": ("One core of the gateway, one of the load", "128 connections"),
    "cores-2": ("Two cores of the gateway, one of the load", "128 connections; processor time of both cores together"),
}  # fmt: skip


THREADS = (
    "`worker` answers requests; the others note uses and requests in the store and write the access log, and share its core "
    "here. How many keys are used in a second matters to them, not how often"
)


class Rows:
    """Rows by scenario, subject and round."""

    def __init__(self, rows):
        self.rows = rows

    def of(self, scenario, subject=None):
        return [row for row in self.rows if row["scenario"] == scenario and subject in (None, row["subject"])]

    def subjects(self, scenario):
        return list(dict.fromkeys(row["subject"] for row in self.of(scenario)))

    def paired(self, scenario, one, other, value):
        """The ratios of two subjects in the same rounds: those in which both were busy or, if there are none, all."""
        twins = {row["round"]: row for row in self.of(scenario, other)}
        pairs = [(row, twins[row["round"]]) for row in self.of(scenario, one) if row["round"] in twins]
        busy = [pair for pair in pairs if len(usable(pair)) == 2]
        return [row[value] / twin[value] for row, twin in busy or pairs if twin[value]]


def usable(rows):
    """Rounds in which the gateway was the bottleneck."""
    return [row for row in rows if row.get("busy", 1.0) >= BUSY]


def table(head, rows):
    if not rows:
        return []
    marks = ["---"] + ["---:"] * (len(head) - 1)
    return ["| %s |" % " | ".join(row) for row in (head, marks, *rows)]


def spread(values, form="%.2f"):
    if not values:
        return "-"
    low, high = min(values), max(values)
    middle = form % median(values)
    return middle if len(values) == 1 else "%s (%s to %s)" % (middle, form % low, form % high)


def speed(rows, scenario):
    """Processor time and requests of the subjects of a scenario, the cheapest first."""
    lines = []
    for subject in rows.subjects(scenario):
        if subject == "direct":
            continue
        every = rows.of(scenario, subject)
        good = usable(every)
        best = min((row["us"] for row in good), default=None)
        lines.append((best or 1e9, subject, every, good))
    body = []
    for best, subject, every, good in sorted(lines, key=lambda line: (line[0], line[1])):
        ours = rows.paired(scenario, "latchgate", subject, "us") if subject != "latchgate" else []
        body.append([
            bold(subject),
            "%.2f" % best if good else "-",
            "%.2f" % median(row["us"] for row in every),
            "{:,.0f}".format(max(row["rps"] for row in good)) if good else "-",
            spread(ours) + ("" if good or not ours else " ?"),
            "%.0f" % median(row["bytes_each"] for row in every) if any(row["bytes_each"] for row in every) else "-",
            "%d of %d" % (len(good), len(every)),
        ])  # fmt: skip
    unit = "handshakes" if scenario == "handshakes" else "calls" if scenario == "grpc" else "requests"
    head = ["", "us, best", "us, median", "%s/s, best" % unit, "latchgate / it", "bytes each", "rounds"]
    return table(head, body)


def bold(subject):
    return "**%s**" % subject if subject.startswith("latchgate") else subject


def threads(rows):
    """Which threads of Latchgate ran how long, for each request of the first table."""
    subjects = [subject for subject in rows.subjects("keyed") if subject.startswith("latchgate")]
    shares, kinds = {}, {}
    for subject in subjects:
        for row in rows.of("keyed", subject):
            for kind, micros in row.get("threads", {}).items():
                kinds[kind] = kinds.get(kind, 0) + micros
                shares.setdefault((subject, kind), []).append(micros / max(row["requests"], 1))
    kinds = sorted(kinds, key=kinds.get, reverse=True)
    body = [[kind, *("%.2f" % median(shares.get((subject, kind), [0])) for subject in subjects)] for kind in kinds]
    body = [cells for cells in body if any(cell != "0.00" for cell in cells[1:])]
    return table(["us for each request", *subjects], body)


def rate(rows):
    """What a gateway adds to the time of an answer at a fixed rate, by the same round's time without one."""
    direct = {row["round"]: row for row in rows.of("rate", "direct")}
    body = []
    for subject in rows.subjects("rate"):
        mine = rows.of("rate", subject)
        if subject == "direct":
            cells = ["%.0f" % median(row[name] for row in mine) for name in ("p50", "p99", "p999")]
            body.append((-1, ["(without a gateway)", *cells, "-", str(len(mine))]))
            continue
        added = {
            name: [row[name] - direct[row["round"]][name] for row in mine if row["round"] in direct]
            for name in ("p50", "p99", "p999")
        }
        if not added["p50"]:
            continue
        cells = [spread(values, "%+.0f") for values in added.values()]
        processor = "%.1f" % median(row["us"] for row in mine)
        body.append((median(added["p50"]), [bold(subject), *cells, processor, str(len(mine))]))
    head = ["us", "p50", "p99", "p99.9", "processor us", "rounds"]
    return table(head, [cells for _, cells in sorted(body, key=lambda line: line[0])])


def memory(rows):
    body = []
    for subject in rows.subjects("memory"):
        mine = rows.of("memory", subject)
        resident, proportional = (median(row[kind] for row in mine) / 1024 for kind in ("rss", "pss"))
        body.append((proportional, [bold(subject), "%.1f" % resident, "%.1f" % proportional]))
    return table(["MiB", "resident", "proportional"], [cells for _, cells in sorted(body, key=lambda line: line[0])])


def idle(rows):
    body = []
    for subject in rows.subjects("idle"):
        each = median(row["pss"] for row in rows.of("idle", subject))
        body.append((each, [bold(subject), "%.1f" % each]))
    return table(["", "KiB each"], [cells for _, cells in sorted(body, key=lambda line: line[0])])


# Of the first request of a key.
FIRSTS = {
    "first_p50": "a key's first request, p50",
    "first_p99": "p99",
    "crowd_p50": "64 at once, p50",
    "crowd_p99": "p99 of those",
}


def growth(rows):
    """What a request costs as one thing at a time grows."""
    body = []
    for name in rows.subjects("growth"):
        mine = rows.of("growth", name)
        what = name.rsplit(" ", 1)[0]
        body.append([
            what,
            "{:,}".format(mine[0]["of"][what]),
            "%.2f" % min(row["us"] for row in usable(mine) or mine),
            "%.2f" % median(row["us"] for row in mine),
            *("%.0f" % median(row[name] for row in mine) for name in FIRSTS),
            "%d of %d" % (len(usable(mine)), len(mine)),
        ])  # fmt: skip
    head = ["", "how many", "us, best", "us, median", *FIRSTS.values(), "busy rounds"]
    return table(head, body)


def storms(rows):
    """What becomes of the good traffic."""
    body = []
    for name in rows.subjects("storms"):
        mine = rows.of("storms", name)
        ratios = [row["p99"] / row["alone"]["p99"] for row in mine if row["alone"]["p99"]]
        body.append([
            name,
            "{:,.0f}".format(median(row["flood"]["rps"] for row in mine)),
            "%.0f" % median(row["alone"]["p99"] for row in mine),
            "%.0f" % median(row["p50"] for row in mine),
            "%.0f" % median(row["p99"] for row in mine),
            spread(ratios),
            str(sum(row["errors"] for row in mine)),
        ])  # fmt: skip
    return table(["", "of them a second", "p99 alone, us", "p50 meanwhile", "p99 meanwhile", "p99 by alone", "good ones refused"], body)


def against(rows):
    """The two binaries of Latchgate, round by round."""
    body = []
    for scenario in dict.fromkeys(row["scenario"] for row in rows.rows):
        value = "pss" if scenario in ("memory", "idle") else "p50" if scenario == "rate" else "us"
        for suffix in ("", "-open"):
            one, other = "latchgate" + suffix, "latchgate%s-before" % suffix
            ratios = rows.paired(scenario, one, other, value)
            if ratios:
                lows = [min(row[value] for row in usable(of) or of) for of in (rows.of(scenario, one), rows.of(scenario, other))]
                body.append([scenario + suffix, value, spread(ratios, "%.3f"), "%.3f" % (lows[0] / lows[1]), str(len(ratios))])
    return table(["now / before", "of", "median (least-most)", "best by best", "pairs"], body)


def render(result):
    """All tables of a run as Markdown."""
    rows, meta = Rows(result["rows"]), result["meta"]
    out = ["Taken %s on %s. %s." % (meta["date"], meta["machine"], "; ".join(meta["versions"])), ""]
    if meta.get("load_before", 0) > 0.5:
        out += ["**The machine was busy with something else (load %.1f): distrust these.**" % meta["load_before"], ""]

    def part(title, text, lines):
        if lines:
            out.extend(["### " + title, "", text + ".", "", *lines, ""])

    part("Before and after", "Two versions of Latchgate in the same rounds; below 1 the new one is cheaper", against(rows))
    for scenario, (title, text) in TITLES.items():
        part(title, text, speed(rows, scenario))
        if scenario == "keyed":
            part("Latchgate by its threads", THREADS, threads(rows))
            part("Time added at 5,000 requests a second", "Sent when due, whatever became of those before", rate(rows))
            part("Memory", "After that load, with 10,000 keys known", memory(rows))
    part("Idle connections", "Memory of each of 5,000 that were used once and rest", idle(rows))
    text = "Latchgate alone: 1,000 keys at random, 64 connections, 1 route for them and 3 networks for each, unless said otherwise"
    part("As it grows", text, growth(rows))
    text = "Good traffic of 2,000 requests a second with known keys, and somebody at another address; one core for both"
    part("In a storm", text, storms(rows))
    if result["failures"]:
        out += ["Left out: %s." % "; ".join("%s in %s (%s)" % (who, where, why) for where, who, why in result["failures"]), ""]
    return "\n".join(out)


def write_between(path, name, text):
    """Puts text between the markers of that name in a document."""
    begin, end = "<!-- %s -->" % name, "<!-- /%s -->" % name
    with open(path) as file:
        document = file.read()
    head, rest = document.split(begin, 1)
    tail = rest.split(end, 1)[1]
    with open(path, "w") as file:
        file.write("%s%s\n%s\n%s%s" % (head, begin, text.strip(), end, tail))
