"""What the benchmarks of this folder share: a lab of Heart on this machine, and a watch that looks from beside it.

HEART_BIN names the program that is measured; target/release/heart if not set.
"""
import json
import os
import statistics
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.environ.get("HEART_BIN", os.path.join(HERE, "..", "target", "release", "heart"))
# A gap in the answers that is longer than this is one: the watch asks every 2 ms.
GAP = 0.020


class Lab:
    """A lab of its own for this process."""

    def __init__(self, prefix):
        self.name = f"{prefix}-{os.getpid()}"
        self.command = [BINARY, "lab", "--lab", self.name]

    def heart(self, *words, **options):
        """Runs `heart lab ...`; what it printed."""
        return subprocess.run([*self.command, *words], check=True, stdout=subprocess.PIPE, text=True, **options).stdout

    def shell(self, node, script, given=""):
        """Runs a shell script on a node."""
        return self.heart("exec", node, "--", "sh", "-c", script, input=given)

    def configure(self, nodes, text):
        """Gives all nodes the same key and file."""
        key = os.urandom(32).hex()
        for node in nodes:
            self.shell(node, "mkdir -p /etc/heart && umask 077 && cat >/etc/heart/key", key)
            self.shell(node, "cat >/etc/heart/heart.toml", text)

    def begin_daemon(self, node):
        """Starts Heart on a node."""
        self.shell(node, "exec setsid heart daemon >>/var/log/heart.log 2>&1 </dev/null &")

    def status(self, nodes):
        """What the first node says that hears a leader; None if none does."""
        for node in nodes:
            try:
                view = json.loads(self.shell(node, "timeout 10 heart status --json 2>/dev/null"))
                if view["leader"]:
                    return view
            except (subprocess.CalledProcessError, ValueError):
                continue
        return None

    def logs(self, nodes, lines):
        """How the logs of the nodes end."""
        return "".join(self.shell(node, f"tail -n {lines} /var/log/heart.log") for node in nodes)

    def down(self):
        """Removes what is left of it."""
        if os.path.exists(f"/run/heart-lab/{self.name}"):
            subprocess.run([*self.command, "down"], stdout=subprocess.DEVNULL, check=False)


class Watch(threading.Thread):
    """Who answers for an address, from beside the switches."""

    def __init__(self, lab, address, nodes):
        super().__init__(daemon=True)
        words = [*lab.command, "exec", "switch", "--", "heart", "lab-watch", address, "2000", *nodes]
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seen = []
        self.start()

    def run(self):
        for line in self.child.stdout:
            sighting = json.loads(line)
            self.seen.append((sighting["at"] / 1e9, frozenset(sighting["owners"])))

    def gaps(self, since):
        """Times without an owner that began after `since`: (from, how long, who before, who after)."""
        found, seen = [], list(self.seen)
        for (_, before), (at, owners), (until, after) in zip(seen, seen[1:], seen[2:]):
            if not owners and at >= since and until - at > GAP:
                found.append((at, until - at, before, after))
        return found

    def overlaps(self):
        """Times with more than one."""
        return [(at, sorted(owners)) for at, owners in list(self.seen) if len(owners) > 1]

    def stop(self):
        """Ends the watch; an owner that is missing ever since is none that was seen."""
        self.child.stdin.close()
        self.child.wait()


def now():
    """The lab's clock, in seconds."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def spread(seconds):
    """Figures for people."""
    millis = [one * 1000 for one in seconds]
    return f"{min(millis):.0f}–{max(millis):.0f} ms, median {statistics.median(millis):.0f} ({len(millis)})"
