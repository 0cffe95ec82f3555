"""Heart as a peer of the HA bench: how it is configured, started and driven there.

    PEER_MODULE=$PWD/bench/peer_heart.py python3 ../shared/peers/bench.py cycle heart default 3 5

HEART_BIN names the program that is measured; target/release/heart if not set.
"""
import json
import os
import signal

from lab import NET, SVC_PORT, VIP, wait_for
from peers import Peer

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.environ.get("HEART_BIN", os.path.join(HERE, "..", "target", "release", "heart"))


class Heart(Peer):
    """The address and the service as a group, in the daemons' own log and leases."""
    profiles = {"default": dict(profile="default"), "fastest": dict(profile="fastest")}
    boot_limit, crash_limit = 20, 20
    config_files = ["/etc/heart/heart.toml"]
    daemon = "heart"

    def conf(self):
        nodes = "".join(f'[node.{n.name}]\naddresses = ["{n.ip}"]\n\n' for n in self.lab.nodes)
        return f"""[cluster]
name = "lab"
failovers_max = 1000

[timing]
profile = "{self.k['profile']}"

{nodes}[resource.vip]
agent = "ip"
address = "{VIP}/24"
failovers_max = 1000

[resource.svc]
agent = "process"
command = ["/run/lab/echod", "svc-managed", "{SVC_PORT}"]
failovers_max = 1000

[group.web]
members = ["vip", "svc"]
"""

    def configure(self):
        with open(BINARY, "rb") as f:
            program = f.read()
        key = os.urandom(32)
        for n in self.lab.nodes:
            n.run("mkdir -p /etc/heart /var/lib/heart")
            n.write("/etc/heart/heart.toml", self.conf())
            for path, content, mode in (("/etc/heart/key", key, 0o600), ("/var/heart", program, 0o755)):
                with open(n.path(path), "wb") as f:
                    f.write(content)
                os.chmod(n.path(path), mode)

    def start(self, node):
        node.spawn(f"exec /var/heart daemon --node {node.name}", "heart.log")

    def status(self):
        for n in self.lab.nodes:
            if n.init:
                try:
                    status = json.loads(n.run("timeout 2 /var/heart status --json"))
                except ValueError:
                    continue
                if status.get("leader"):
                    return status
        return {}

    def settled(self):
        def ok():
            s = self.status()
            return (all(s.get("nodes", {}).get(n.name, {}).get("state") == "online" for n in self.lab.nodes)
                    and all(r["state"] == "running" for r in s["resources"].values()))
        return wait_for(ok, self.boot_limit, 0.1)

    def move(self, src, dst):
        self.lab.pending = src.spawn(f"exec /var/heart move vip {dst.name}", "move.log")

    def kill_service(self, node):
        """The service has a pid namespace of its own, so it is known by its network."""
        network = os.readlink(f"/proc/{node.holder.pid}/ns/net")
        killed = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if (os.readlink(f"/proc/{pid}/ns/net") == network
                        and b"svc-managed" in open(f"/proc/{pid}/cmdline", "rb").read()
                        and open(f"/proc/{pid}/comm").read().strip() == "echod"):
                    os.kill(int(pid), signal.SIGKILL)
                    killed += 1
            except OSError:
                continue
        return killed

    def daemon_pids(self, node):
        # Like the others: the main daemons, on which everything hangs; not the keeper of the service.
        return [p for p in node.pids_named("heart") if b"keeper" not in open(f"/proc/{p}/cmdline", "rb").read()]


PEERS = {"heart": Heart}
