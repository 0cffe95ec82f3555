#!/usr/bin/env python3
"""What a node of Heart costs while nothing happens.

    cargo build --release -p heart
    python3 bench/idle.py [--seconds 20] [--links 2] [--threads]

Starts three nodes in a lab on this machine, at default timing, with a group of an address and a
service; waits until it runs and has settled; then measures every process of Heart on every node.
CPU is what the scheduler counted (/proc/PID/task/*/schedstat), RSS what ps shows (pages that
processes share count once for each), PSS what they cost (shared pages are divided). The service
itself is not counted. Ends with code 1 if a node misses the bar. Needs root.

HEART_BIN names the program that is measured; target/release/heart if not set.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

from lab import Lab

NODES = ["ada", "bob", "cyn"]
LAB = Lab("idle")
shell = LAB.shell
# The bar: all processes of a node together.
CPU_PERCENT_MAX = 0.3
RSS_MB_MAX = 30.0
# How long the cluster may take until the group runs, and how long it is left alone after that:
# announcements of a new address, for instance, go on for three seconds.
RUNS_WITHIN = 20.0
SETTLES_WITHIN = 6.0


def configuration(links):
    """What an administrator would write, with nothing said about timing."""
    def addresses(number):
        return [f"10.77.0.{number}", f"10.78.0.{number}"][:links]
    nodes = "".join(f"[node.{name}]\naddresses = {json.dumps(addresses(number))}\n"
                    for number, name in enumerate(NODES, 1))
    return f"""[cluster]
name = "idle"
{nodes}
[resource.site-ip]
agent = "ip"
address = "10.77.0.100/24"
[resource.site]
agent = "process"
command = ["/bin/sleep", "infinity"]
[group.web]
members = ["site-ip", "site"]
"""


def start(links):
    """Starts lab and daemons."""
    LAB.heart("up", "--names", ",".join(NODES))
    LAB.configure(NODES, configuration(links))
    for node in NODES:
        LAB.begin_daemon(node)


def owner():
    """Who runs the group; waits until all nodes are online and somebody does."""
    end = time.monotonic() + RUNS_WITHIN
    while time.monotonic() < end:
        try:
            status = json.loads(shell(NODES[0], "heart status --json 2>/dev/null"))
            online = all(node["state"] == "online" for node in status["nodes"].values())
            if online and all(it["state"] == "running" for it in status["resources"].values()):
                return status["resources"]["site"]["node"]
        except (subprocess.CalledProcessError, ValueError):
            pass
        time.sleep(0.1)
    sys.exit("the group does not run; the logs end with:\n" + LAB.logs(NODES, 5))


def read(path):
    """A file of /proc; nothing if it has gone."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def processes(node):
    """{pid: name} of Heart on a node: what shares its network and is called `heart-...`."""
    network = shell(node, "readlink /proc/self/ns/net").strip()
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        name = read(f"/proc/{pid}/comm").strip()
        try:
            if name.startswith("heart-") and os.readlink(f"/proc/{pid}/ns/net") == network:
                found[int(pid)] = name
        except OSError:
            continue
    return found


def cpu(pid):
    """{thread: seconds on a CPU so far}; threads that have ended do not count."""
    task = f"/proc/{pid}/task"
    threads = {}
    for tid in os.listdir(task):
        ran = read(f"{task}/{tid}/schedstat").split()
        if ran:
            threads[int(tid)] = int(ran[0]) / 1e9
    return threads


def memory(pid):
    """RSS and PSS of a process, in MB."""
    text = read(f"/proc/{pid}/smaps_rollup")
    return [int(re.search(rf"^{what}: *(\d+) kB", text, re.M)[1]) / 1024 for what in ("Rss", "Pss")]


def measure(pids, seconds):
    """{pid: {thread: percent of a CPU}} over `seconds`."""
    began, before = time.monotonic(), {pid: cpu(pid) for pid in pids}
    time.sleep(seconds)
    took, after = time.monotonic() - began, {pid: cpu(pid) for pid in pids}
    return {pid: {tid: 100 * (ran - before[pid].get(tid, 0)) / took for tid, ran in after[pid].items()}
            for pid in pids}


def report(node, role, names, percent, threads):
    """Prints a node's table; whether it stays within the bar."""
    sums = [0.0, 0.0, 0.0]
    for pid, name in sorted(names.items()):
        row = [sum(percent[pid].values()), *memory(pid)]
        sums = [a + b for a, b in zip(sums, row)]
        print(f"{node:5} {name:16} {row[0]:6.3f} % {row[1]:6.1f} MB {row[2]:6.1f} MB")
        for tid, part in sorted(percent[pid].items()) if threads else []:
            print(f"{'':7}{read(f'/proc/{pid}/task/{tid}/comm').strip():15} {part:6.3f} %")
    good = sums[0] <= CPU_PERCENT_MAX and sums[1] <= RSS_MB_MAX
    print(f"{node:5} {role:16} {sums[0]:6.3f} % {sums[1]:6.1f} MB {sums[2]:6.1f} MB"
          f"  {'ok' if good else 'MISSES THE BAR'}\n")
    return good


def main():
    """Measures, and judges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure")
    parser.add_argument("--links", type=int, default=2, choices=(1, 2), help="networks between the nodes")
    parser.add_argument("--threads", action="store_true", help="show what each thread costs")
    options = parser.parse_args()
    try:
        start(options.links)
        place = owner()
        time.sleep(SETTLES_WITHIN)
        of = {node: processes(node) for node in NODES}
        percent = measure([pid for names in of.values() for pid in names], options.seconds)
        print(f"{'node':5} {'process':16} {'CPU':>8} {'RSS':>9} {'PSS':>9}"
              f"    (bar: {CPU_PERCENT_MAX} %, {RSS_MB_MAX:.0f} MB RSS; {options.seconds:g} s)")
        good = [report(node, "owns the group" if node == place else "owns nothing", of[node], percent,
                       options.threads) for node in NODES]
    finally:
        LAB.down()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
