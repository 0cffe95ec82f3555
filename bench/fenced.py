#!/usr/bin/env python3
"""How long an address is gone when one of two nodes loses its power, and the other has to prove that first.

    cargo build --release -p heart
    python3 bench/fenced.py [--times 10] [--fence-ms 0,300]

Starts two nodes in a lab on this machine, at default timing, without a tie-break. Each can switch the other one off by
a fence agent that takes as long as it is told to (`--fence-ms`, one row for each) and writes down when it begins and
ends. The owner of the address loses its power, over and over, and comes back. What is said of it: how long nobody
answered for the address (a watch asks every 2 ms), and of what that consists: the time until the other node said that
the owner is lost, the time for which Heart hesitated, the time that the agent was at work (from the begin of the first
question to the end of the last, without the hesitation), and what is left.

The outlet of a machine that lost power says `off`, and nobody hesitates. With `--outlet on` it says that there is
power, as if the machine's own supply had failed or it hung: then the half that runs less lets the other one go first
(docs/decisions/0012), from the answer *on* to the moment when the agent is told `off`. That wait is Heart's own, not the
agent's.

Ends with code 1 if what is left, together with the hesitation, is more than the bar: with `--outlet on` it always is.
Needs root. HEART_BIN names the program; target/release/heart if not set.
"""
import argparse
import calendar
import re
import sys
import time

from lab import GAP, Lab, Watch, now, spread

NODES = ["ada", "bob"]
LAB = Lab("fenced")
ADDRESS = "10.77.0.100"
# What may be left, in seconds.
LEFT_MAX = 0.020
# How long anything may take that has to happen.
WITHIN = 60.0
# How long a cluster is left alone before power is cut.
SETTLES_WITHIN = 4.0
AGENT = """#!/bin/sh
echo "$(date +%s%N) begins" >> /var/log/outlet
while read -r line; do
    case $line in action=*) action=${line#*=};; plug=*) plug=${line#*=};; esac
done
code=0
case $action in
metadata) echo '<?xml version="1.0" ?><resource-agent name="fence_slow"><parameters>'
    echo '<parameter name="plug" required="1"><content type="string"/></parameter>'
    echo '</parameters></resource-agent>';;
on|off) sleep $(cat /var/lib/takes); echo $action > /var/lib/outlet-$plug;;
status) [ "$(cat /var/lib/outlet-$plug)" = on ] || code=2;;
esac
echo "$(date +%s%N) ends $action" >> /var/log/outlet
exit $code
"""


def configuration():
    """What an administrator would write, with nothing said about timing."""
    nodes = "".join(f'[node.{name}]\naddresses = ["10.77.0.{number}", "10.78.0.{number}"]\n'
                    'fence = { agent = "fence_slow", timeout = "5s" }\n' for number, name in enumerate(NODES, 1))
    return f"""[cluster]
name = "fenced"
{nodes}
[resource.site-ip]
agent = "ip"
address = "{ADDRESS}/24"
failovers_max = 1000
"""


def prepare(node, takes):
    """Sets up the outlets as a node sees them, all with power."""
    for name in NODES:
        LAB.shell(node, f"echo on > /var/lib/outlet-{name}")
    LAB.shell(node, f"echo {takes / 1000} > /var/lib/takes; : > /var/log/outlet; cat > /usr/sbin/fence_slow; "
                    "chmod 755 /usr/sbin/fence_slow", AGENT)


def settled():
    """Waits until both nodes are online and the address is answered for; who owns it."""
    end, view = now() + WITHIN, None
    while now() < end:
        view = LAB.status(NODES)
        if view and all(node["state"] == "online" for node in view["nodes"].values()):
            if view["resources"]["site-ip"]["state"] == "running":
                return view["resources"]["site-ip"]["node"]
        time.sleep(0.05)
    sys.exit(f"the address is not there: {view}; the logs end with:\n" + LAB.logs(NODES, 8))


def lost_at(node, owner):
    """When a node said that the owner is lost, in seconds since 1970."""
    said = LAB.shell(node, f"grep '{owner} is lost' /var/log/heart.log | tail -n 1")
    stamp = re.match(r"\S*?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)Z", re.sub(r"\x1b\[[0-9;]*m", "", said))
    if not stamp:
        sys.exit(f"no time is in this line of the log: {said!r}")
    whole = time.strptime(stamp[1] + "UTC", "%Y-%m-%dT%H:%M:%S%Z")
    return calendar.timegm(whole) + float(stamp[2])


def fence_took(node, outlet):
    """How long Heart hesitated since the agent was prepared, and how long the agent was at work: all that it did, and
    what else was between."""
    lines = [line.split() for line in LAB.shell(node, "cat /var/log/outlet").splitlines()]
    told = next((place for place, line in enumerate(lines) if line[1:] == ["ends", "off"]), None)
    if told is None:
        sys.exit(f"{node} told no device: {lines}")
    def at(place):
        return int(lines[place][0]) / 1e9
    hesitation = 0.0
    if outlet == "on":
        # The last answer before `off` was told, and the begin of that: one runs after the other.
        if told < 2 or lines[told - 2][1:] != ["ends", "status"] or lines[told - 1][1:] != ["begins"]:
            sys.exit(f"{node} did not ask how the outlet is before it told it: {lines}")
        hesitation = at(told - 1) - at(told - 2)
    return hesitation, at(-1) - at(0) - hesitation


def cut(watch, takes, outlet):
    """Takes the owner's power; how long the address was missing, and of what that consists: until it was lost, the
    hesitation, the agent, and what is left."""
    owner = settled()
    other = next(node for node in NODES if node != owner)
    prepare(other, takes)
    time.sleep(SETTLES_WITHIN)
    LAB.shell(other, f": > /var/log/outlet; echo {outlet} > /var/lib/outlet-{owner}")
    began, wall = now(), time.time()
    LAB.heart("fault", "power-cut", owner)
    gaps, end = [], began + WITHIN
    while not gaps and now() < end:
        gaps = [gap for gap in watch.gaps(began - GAP) if gap[3]]
        time.sleep(0.02)
    if not gaps:
        sys.exit(f"{owner} lost its power and nobody has the address; the log ends with:\n" + LAB.logs([other], 8))
    at, length = gaps[0][:2]
    detection, (hesitation, agent) = lost_at(other, owner) - (wall + at - began), fence_took(other, outlet)
    LAB.heart("fault", "boot", owner)
    for node in NODES:
        prepare(node, takes)
    LAB.begin_daemon(owner)
    return length, detection, hesitation, agent, length - detection - hesitation - agent


def run(options):
    """Measures; whether all is within the bar."""
    LAB.heart("up", "--names", ",".join(NODES))
    LAB.configure(NODES, configuration())
    for node in NODES:
        prepare(node, 0)
        LAB.begin_daemon(node)
    watch, worst = Watch(LAB, ADDRESS, NODES), 0.0
    for takes in options.fence_ms.split(","):
        rounds = [cut(watch, int(takes), options.outlet) for _ in range(options.times)]
        missing, detection, hesitation, agent, left = map(list, zip(*rounds))
        print(f"outlet {options.outlet}, off takes {takes} ms: the address was missing for {spread(missing)}; "
              f"lost after {spread(detection)}, hesitated for {spread(hesitation)}, agent at work for {spread(agent)}; "
              f"what is left {spread(left)}", flush=True)
        worst = max(worst, *(sum(both) for both in zip(hesitation, left)))
    overlaps = watch.overlaps()
    print(f"two owners at an instant: {overlaps if overlaps else 'never'}")
    watch.stop()
    return worst <= LEFT_MAX and not overlaps


def main():
    """Sets up, measures, sweeps up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="rounds for each time that a device takes")
    parser.add_argument("--fence-ms", default="0,300", help="how long the device takes to switch off, in milliseconds")
    parser.add_argument("--outlet", default="off", choices=("off", "on"), help="what the outlet says of who lost power")
    options = parser.parse_args()
    try:
        good = run(options)
    finally:
        LAB.down()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
