#!/usr/bin/env python3
"""Whether a busy machine makes a cluster do what it should not.

    cargo build --release -p heart
    python3 bench/load.py [--minutes 30] [--times 10] [--memory-mb 640] [--kills 5] [--links 2]
        [--cpu-shares 512] [--logs FOLDER]

Starts three nodes in a lab on this machine, at default timing, with a group of an address and a
service. Each node keeps its files on a file system of its own, a file of this machine's disk. Then
the machine is loaded, all of it on the nodes themselves: `--times` endless loops for each core; in a
control group with the nodes, less memory than what reads files over and over would like to have; and
on each node somebody who writes 32 MB to the file system where Heart keeps its log, and flushes them,
without a pause. Meanwhile nothing may change: no election, nothing moves, nothing is started again, and
the address is answered for without a gap, which a watch asks every 2 ms (by ARP: the kernel answers,
so a busy service is no gap). At the end, still loaded, the service is killed and owners lose their power,
one after the other, and it is measured how long that takes.

Ends with code 1 if anything changed, if two nodes had the address at an instant, or if it was missing after a power cut
for longer by more than a half than it ever was before the load, or is on an idle machine (602 ms). How long it takes
until a killed service is noticed and runs again is reported only: what is started waits for its turn among the load, as
every program does.
Needs root, and loop devices. HEART_BIN names the program; target/release/heart if not set.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from lab import GAP, Lab, Watch, now, spread

NODES = ["ada", "bob", "cyn"]
LAB = Lab("load")
shell = LAB.shell
ADDRESS = "10.77.0.100"
# How long anything may take that has to happen, on a machine as busy as this.
WITHIN = 120.0
# How long a cluster is left alone before it is looked at.
SETTLES_WITHIN = 6.0
DISK_MB = 256
# Of a second, in a control group of its own: what a kernel lets real-time threads have in all, nearly.
REAL_TIME = 900_000
# Longest time without the address after a power cut that an idle machine has (docs/benchmarks.md).
IDLE_CUT = 0.602
# So many times as long it may be missing under load.
LONGER_MAX = 1.5
# How often the cluster is asked how it is.
LOOK_EVERY = 5.0


class Memory:
    """A control group that has less memory than is wanted in it; the first version's or the second's."""

    def __init__(self, megabytes, shares):
        parents = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        parent, limit = next((p for p in parents if os.path.exists(f"{p[0]}/cgroup.procs")), (None, None))
        if not parent:
            sys.exit("no control groups for memory are mounted: nothing here can be short of it")
        if limit == "memory.max":
            with open(f"{parent}/cgroup.subtree_control", "w") as file:
                file.write("+memory")
        self.path = f"{parent}/heart-{LAB.name}"
        os.mkdir(self.path)
        with open(f"{self.path}/{limit}", "w") as file:
            file.write(str(megabytes << 20))
        self.paths = [self.path]
        if shares:
            self.share(shares)

    def share(self, shares):
        """Leaves something to what else runs on this machine: the load of all nodes weighs as much as a process."""
        path = f"/sys/fs/cgroup/cpu/heart-{LAB.name}"
        os.mkdir(path)
        for name, value in [("cpu.shares", shares), ("cpu.rt_runtime_us", REAL_TIME)]:
            if os.path.exists(f"{path}/{name}"):
                with open(f"{path}/{name}", "w") as file:
                    file.write(str(value))
        self.paths.append(path)

    def enter(self):
        """Moves the calling process in, before it becomes another program."""
        for path in self.paths:
            with open(f"{path}/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))

    def pressed(self):
        """How often something was refused memory at first; the kernel had to take it from elsewhere."""
        with open(next(p for p in (f"{self.path}/memory.failcnt", f"{self.path}/memory.events") if os.path.exists(p))) as file:
            text = file.read()
        return int(re.search(r"(?:^|max )(\d+)", text)[1])

    def remove(self):
        """When everything in it has ended."""
        for path in self.paths:
            for _ in range(50):
                try:
                    os.rmdir(path)
                    break
                except OSError:
                    time.sleep(0.1)


class Disks:
    """A file of the host as each node's disk."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="heart-load-", dir="/var/tmp")
        self.loops = {}

    def make(self, node):
        """Makes and mounts it, and puts Heart's own files there; a second time it is mounted again."""
        if node not in self.loops:
            image = os.path.join(self.folder, node)
            with open(image, "wb") as file:
                file.truncate(DISK_MB << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
            found = subprocess.run(["losetup", "--find", "--show", image], check=True, stdout=subprocess.PIPE, text=True)
            self.loops[node] = found.stdout.strip()
        number = self.loops[node].removeprefix("/dev/loop")
        shell(node, f"mknod /dev/heart-load b 7 {number}; mkdir -p /srv/disk; mount -t ext4 /dev/heart-load /srv/disk; "
                    "mkdir -p /srv/disk/heart /var/lib/heart; mount --bind /srv/disk/heart /var/lib/heart")

    def remove(self):
        """When no machine has it any more."""
        for loop in self.loops.values():
            subprocess.run(["losetup", "-d", loop], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def configuration(links):
    """What an administrator would write, with nothing said about timing."""
    def addresses(number):
        return [f"10.77.0.{number}", f"10.78.0.{number}"][:links]
    nodes = "".join(f"[node.{name}]\naddresses = {json.dumps(addresses(number))}\n"
                    for number, name in enumerate(NODES, 1))
    return f"""[cluster]
name = "load"
{nodes}
[resource.site-ip]
agent = "ip"
address = "{ADDRESS}/24"
failovers_max = 1000
[resource.site]
agent = "process"
command = ["/bin/sh", "-c", "echo start >> /var/log/site-starts; exec sleep infinity"]
failovers_max = 1000
failures_max = 1000
[group.web]
members = ["site-ip", "site"]
"""


def settled(online=len(NODES)):
    """Waits until so many nodes are online and everything runs; what is said then."""
    end, view = time.monotonic() + WITHIN, None
    while time.monotonic() < end:
        view = LAB.status(NODES)
        if view and sum(node["state"] == "online" for node in view["nodes"].values()) >= online:
            if all(one["state"] == "running" for one in view["resources"].values()):
                return view
        time.sleep(0.05)
    sys.exit(f"the group does not run: {view}; the logs end with:\n" + LAB.logs(NODES, 8))


def facts(view):
    """What may not change."""
    return {"term": view["term"], "leader": view["leader"],
            "owners": {name: (one["node"], one["epoch"]) for name, one in view["resources"].items()},
            "states": {name: node["state"] for name, node in view["nodes"].items()}}


def starts():
    """How often the service was started on each node that has power."""
    text = "test -e /var/log/site-starts && wc -l < /var/log/site-starts || echo 0"
    return {node: int(shell(node, text)) for node in NODES}


def load_node(node, loops, megabytes):
    """Begins a node's part of the load; it ends with the node's power."""
    shell(node, f"""
        for i in $(seq {loops}); do setsid sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 & done
        setsid sh -c 'while :; do dd if=/dev/zero of=/srv/disk/written bs=1M count=32 conv=fsync; done' \
            </dev/null >/dev/null 2>&1 &
        dd if=/dev/zero of=/srv/disk/read bs=1M count=96 2>/dev/null
        setsid python3 -c '
import mmap
held = bytearray({megabytes} << 20)
with open("/srv/disk/read", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
    while True:
        for place in range(0, len(held), 4096):
            held[place] = (held[place] + 1) % 256
        sum(pages[place] for place in range(0, len(pages), 4096))
' </dev/null >/dev/null 2>&1 &""")


def happened(kind, since):
    """When something of this kind was agreed on first, of the service, in ms by the wall clock; None if it was not."""
    for node in NODES:
        try:
            timeline = json.loads(shell(node, "timeout 10 heart log --json -n 30 2>/dev/null"))
        except (subprocess.CalledProcessError, ValueError):
            continue
        for one in timeline:
            change = one["what"].get("changed", {}) if isinstance(one["what"], dict) else {}
            detail = change.get(kind, {}) if isinstance(change, dict) else {}
            if one["at"] >= since and detail.get("resource") == "site":
                return one["at"]
    return None


def service():
    """The process of the service, as this machine counts them: on one node only, and looked for before the time counts."""
    def is_it(number):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                return file.read() == b"sleep\0infinity\0"
        except OSError:
            return False
    found = [int(number) for number in os.listdir("/proc") if number.isdigit() and is_it(number)]
    if len(found) != 1:
        sys.exit(f"{len(found)} processes look like the service: {found}")
    return found[0]


def kill_service():
    """Kills the service; after how many seconds that was noticed, and after how many it ran again."""
    process, end = service(), now() + WITHIN
    # A process that is killed dies when it gets a processor: what is measured begins when it is dead.
    os.sched_setscheduler(process, os.SCHED_RR, os.sched_param(1))
    # All nodes of a lab have one clock, which is this machine's.
    killed = int(time.time() * 1000)
    os.kill(process, signal.SIGKILL)
    while now() < end:
        noticed = happened("failure", killed)
        view = LAB.status(NODES)
        if noticed and view and view["resources"]["site"]["state"] == "running":
            back = view["resources"]["site"]["since"]
            if back and back >= noticed:
                return (noticed - killed) / 1000, (back - killed) / 1000
        time.sleep(0.05)
    sys.exit(f"the service was killed and is not back: {view}")


def cut(watch, view):
    """Takes the owner's power; how long nobody answered for the address, and who had and has it."""
    owner, began = view["resources"]["site-ip"]["node"], now()
    LAB.heart("fault", "power-cut", owner)
    end = began + WITHIN
    while now() < end:
        gaps = [gap for gap in watch.gaps(began - GAP) if gap[3]]
        if gaps:
            return gaps[0][1], owner, sorted(gaps[0][3])
        time.sleep(0.02)
    sys.exit(f"{owner} lost its power and nobody has the address: {LAB.status(NODES)}")


def cycle(watch, disks, kills, again):
    """Owners lose their power one after the other; how long the address was missing."""
    took = []
    for _ in range(kills):
        length, owner, _ = cut(watch, settled())
        took.append(length)
        LAB.heart("fault", "boot", owner)
        disks.make(owner)
        again(owner)
        LAB.begin_daemon(owner)
        settled()
        time.sleep(SETTLES_WITHIN)
    return took


def kills(count, when):
    """Kills the service over and over, and says how long things took; nothing is concluded from it."""
    noticed, back = zip(*[settled() and kill_service() for _ in range(count)])
    print(f"{when}, service killed: noticed after {spread(noticed)}, running after {spread(back)}", flush=True)


def under_load(options, watch, before, memory):
    """Waits while the machine is busy, and looks; what changed."""
    began, changes, counted = now(), [], starts()
    load = []
    while now() < began + options.minutes * 60:
        time.sleep(LOOK_EVERY)
        load.append(os.getloadavg()[0])
        view = LAB.status(NODES)
        if not view:
            changes.append(f"after {now() - began:.0f} s no node says that it hears a leader")
        elif facts(view) != before:
            changes.append(f"after {now() - began:.0f} s: {facts(view)} instead of {before}")
            before = facts(view)
    gaps = watch.gaps(began)
    changes += [f"after {at - began:.0f} s nobody answered for {1000 * length:.0f} ms" for at, length, _, _ in gaps]
    if starts() != counted:
        changes.append(f"started again: {starts()} instead of {counted}")
    print(f"{options.minutes:g} min at a load of {statistics.median(load):.0f} (most {max(load):.0f}) on {os.cpu_count()} cores, "
          f"{memory.pressed():,} times short of memory: {len(changes)} changes; leader {before['leader']}, "
          f"term {before['term']}", flush=True)
    for change in changes:
        print("  " + change)
    return not changes


def run(options, memory, disks):
    """Measures; whether all is well."""
    LAB.heart("up", "--names", ",".join(NODES), preexec_fn=memory.enter)
    for node in NODES:
        disks.make(node)
    LAB.configure(NODES, configuration(options.links))
    watch = Watch(LAB, ADDRESS, NODES)
    for node in NODES:
        LAB.begin_daemon(node)
    settled()
    time.sleep(SETTLES_WITHIN)
    kills(options.kills, "before the load")
    idle = cycle(watch, disks, options.kills, lambda node: None)
    print(f"before the load, power cut: the address was missing for {spread(idle)}", flush=True)
    loops = max(1, options.times * os.cpu_count() // len(NODES))
    megabytes = options.memory_mb // (2 * len(NODES))
    for node in NODES:
        load_node(node, loops, megabytes)
    time.sleep(SETTLES_WITHIN)
    before = facts(settled())
    good = under_load(options, watch, before, memory)
    kills(options.kills, "under load")
    busy = cycle(watch, disks, options.kills, lambda node: load_node(node, loops, megabytes))
    print(f"under load, power cut: the address was missing for {spread(busy)}", flush=True)
    overlaps = watch.overlaps()
    print(f"two owners at an instant: {overlaps if overlaps else 'never'}")
    watch.stop()
    if options.logs:
        for node in NODES:
            with open(os.path.join(options.logs, f"{node}.log"), "w") as file:
                file.write(shell(node, "cat /var/log/heart.log"))
    most = LONGER_MAX * max(*idle, IDLE_CUT)
    if max(busy) > most:
        print(f"under load, power cut: {1000 * max(busy):.0f} ms without the address are more than {1000 * most:.0f} ms")
    return good and not overlaps and max(busy) <= most


def main():
    """Sets up, measures, sweeps up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long nothing may change")
    parser.add_argument("--times", type=int, default=10, help="endless loops for each core")
    parser.add_argument("--memory-mb", type=int, default=640, help="memory of all nodes together")
    parser.add_argument("--kills", type=int, default=5, help="how often the service is killed, and the owner's power cut")
    parser.add_argument("--links", type=int, default=2, choices=(1, 2), help="networks between the nodes")
    parser.add_argument("--cpu-shares", type=int, default=0,
                        help="all nodes and their load weigh as much as so many 1024ths of a process (first version\n"
                             "of control groups); without it as many as they are")
    parser.add_argument("--logs", help="a folder where the daemons' logs are left")
    options = parser.parse_args()
    memory, disks = Memory(options.memory_mb, options.cpu_shares), Disks()
    try:
        good = run(options, memory, disks)
    finally:
        LAB.down()
        disks.remove()
        memory.remove()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
