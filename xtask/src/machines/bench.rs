//! Three virtual machines that run Heart, and what can be done to them.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{ties, view::View};
use crate::metadata;

/// The machines.
pub(super) const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// The address that clients use.
const ADDRESS: &str = "10.77.0.100";
/// How long things may take on machines that are emulated.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What can switch a machine off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    /// A power switch beside the machines.
    Switch,
    /// The management controller of each machine, by `fence_ipmilan` as distributions ship it.
    Bmc,
    /// Nothing but the machine's own watchdog.
    Watchdog,
    /// A message on a disk that all machines share.
    Disk,
    /// SCSI-3 persistent reservations on a disk that n3 serves to n1 and n2, by `fence_scsi`; a power switch for n3.
    Scsi,
    /// Nothing: of n1 and n2 one goes on, as a file decides that n3 serves to both, over this version of NFS. Heart does
    /// not run on n3.
    TieBreak(&'static str),
}

impl Fence {
    /// The machines on which Heart runs.
    fn nodes(self) -> &'static [&'static str] {
        if matches!(self, Fence::TieBreak(_)) { &ties::PAIR } else { &NODES }
    }
}

/// What all stories need: the program, and the folder that machines see.
pub(super) struct Built {
    vm: PathBuf,
    shared: PathBuf,
    run: PathBuf,
}

/// A running cluster; it is switched off when the story is over.
pub(super) struct Bench {
    vm: PathBuf,
    run: PathBuf,
}

impl Bench {
    /// Builds the program and the machines' image.
    pub(super) fn prepare() -> Result<Built> {
        let root = metadata::root();
        let vm = root.join("../shared/vm");
        ensure!(
            vm.join("vmctl").exists(),
            "there is no test bench for virtual machines at {}: it comes with the project's shared folder",
            vm.display()
        );
        let built = Command::new("cargo")
            .current_dir(&root)
            .args(["build", "--quiet", "--package", "heart"])
            .status();
        ensure!(built.context("cannot run cargo")?.success(), "the program could not be built");
        let image = Command::new(vm.join("build-image.sh")).status().context("cannot build the image")?;
        ensure!(image.success(), "the image of the machines could not be built");
        let target = root.join("target/machines");
        let shared = target.join("shared");
        fs::create_dir_all(&shared)?;
        // Without what only debuggers read: the machines read it through a slow door.
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(shared.join("heart")).arg(root.join("target/debug/heart"));
        ensure!(strip.status().context("cannot run strip")?.success(), "the program could not be stripped");
        fs::copy(vm.join("fence_vmswitch"), shared.join("fence_vmswitch"))?;
        fs::write(shared.join("key"), [0x55; 32])?;
        Ok(Built { vm, shared, run: target.join("run") })
    }

    fn vmctl(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.vm.join("vmctl"));
        command.env("VMB_RUN", &self.run).args(words);
        command
    }

    /// Has the bench do something; what it says.
    pub(super) fn tell(&self, words: &[&str]) -> Result<String> {
        let output = self.vmctl(words).output().context("cannot run vmctl")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("`vmctl {}`: {}{said}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(said)
    }

    /// Runs a line on a machine.
    pub(super) fn on(&self, node: &str, line: &str) -> Result<String> {
        self.tell(&["exec", node, "--", line])
    }

    /// Runs a line that takes the machine away: nobody waits for an answer.
    pub(super) fn takes_away(&self, node: &str, line: &str) -> Result<()> {
        self.on(node, &format!("systemd-run --quiet --no-block sh -c '{line}'")).map(drop)
    }

    /// Gives a machine the disk of n3, as its own start would do. Heart registers it there.
    pub(super) fn use_scsi(&self, node: &str) -> Result<()> {
        let line = format!(
            "echo InitiatorName=iqn.2024-01.test:{node} >/etc/iscsi/initiatorname.iscsi; systemctl restart iscsid; \
             iscsiadm -m discovery -t st -p n3:3260 && iscsiadm -m node --login; udevadm settle; test -e {SCSI_DISK}"
        );
        Bench::until("the disk of n3 is used", || self.on(node, &line).map(drop))
    }

    /// What this node says of the cluster.
    pub(super) fn view(&self, node: &str) -> Result<View> {
        View::read(&self.on(node, "heart status --json")?)
    }

    /// Looks over and over until it is found.
    pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() >= end => {
                    return Err(error.context(format!("waited {PATIENCE:?} in vain until {what}")));
                }
                Err(_) => Bench::pass(LOOK_EVERY),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "machines of their own tell nobody when they are done")]
    pub(super) fn pass(wait: Duration) {
        std::thread::sleep(wait);
    }

    /// Which node runs everything, as one of `asked` says that hears a leader.
    pub(super) fn owner(&self, asked: &[&str]) -> Result<String> {
        let views: Vec<View> = asked.iter().filter_map(|node| self.view(node).ok()).collect();
        let view = views.iter().find(|view| view.has_leader()).context("no node hears a leader")?;
        view.owner_of_all()
    }

    /// Waits until everything runs on one of these.
    pub(super) fn settled(&self, among: &[&str]) -> Result<String> {
        Bench::until(&format!("everything runs on one of {among:?}"), || {
            let owner = self.owner(among)?;
            ensure!(among.contains(&owner.as_str()), "it is on {owner}");
            Ok(owner)
        })
    }

    /// The number of a machine's life.
    pub(super) fn boot(&self, node: &str) -> Result<String> {
        self.on(node, "cat /proc/sys/kernel/random/boot_id")
    }

    /// Begins to note which machine answers for the address, some times a second.
    pub(super) fn watch(&self) -> Result<Watch> {
        let looks = self.run.join("looks");
        // Each look says all that it has seen when it ends.
        let line = format!(
            "while :; do arping -c 1 -w 1 -I br0 {ADDRESS}; [ $? -le 1 ] && echo {LOOKED}; sleep 0.1; done"
        );
        let mut command = self.vmctl(&["ns", "--", "sh", "-c", &line]);
        let seen = fs::File::create(&looks).context("cannot note who answers")?;
        let child = command.process_group(0).stdout(seen).stderr(Stdio::null()).spawn();
        Ok(Watch { child: child.context("cannot watch")?, looks })
    }

    /// What the machines' daemons said last, for who looks why a story failed.
    pub(super) fn last_words(&self) -> String {
        let of = |node: &&str| {
            let said = self.on(node, "tail -n 25 /var/log/heart.log; heart status");
            format!("--- {node}\n{}", said.unwrap_or_else(|error| format!("{error:#}")))
        };
        NODES.iter().map(of).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::env::var_os("VMB_KEEP").is_none() {
            self.tell(&["down"]).ok();
        }
    }
}

/// What is noted with each look that could be made.
const LOOKED: &str = "looked";

/// Who answers for the address.
pub(super) struct Watch {
    /// It leads a group of processes, all of which end with this.
    child: Child,
    looks: PathBuf,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        Command::new("kill").args(["-KILL", "--", &group]).status().ok();
        self.child.wait().ok();
    }
}

impl Watch {
    /// Stops, and says which machines answered, in turn: each as often as it was another than before.
    pub(super) fn answers(self) -> Result<Vec<String>> {
        let looks = self.looks.clone();
        drop(self);
        let said = fs::read_to_string(looks).context("nothing was noted")?;
        let looked = said.lines().any(|line| line == LOOKED);
        ensure!(looked, "nobody could ask who answers for the address: see whether `arping` is there");
        let address = |line: &str| {
            let (_, rest) = line.split_once('[')?;
            Some(rest.split_once(']')?.0.to_owned())
        };
        let mut answers: Vec<String> = said.lines().filter_map(address).collect();
        answers.dedup();
        Ok(answers)
    }
}

impl Built {
    /// Starts three machines with Heart on them.
    pub(super) fn up(&self, fence: Fence) -> Result<Bench> {
        let bench = Bench { vm: self.vm.clone(), run: self.run.clone() };
        bench.tell(&["down"]).ok();
        let shared = self.shared.to_str().context("a path that is no text")?;
        let words = ["up", "-n", "3", "--warm", "--bmc", "--shared-mb", "32", "--share", shared];
        bench.tell(&words)?;
        fs::write(self.shared.join("heart.toml"), file(fence))?;
        let all = "install -m 755 /mnt/share/heart /usr/local/bin/; modprobe i6300esb; echo i6300esb >/etc/modules-load.d/watchdog.conf; install -m 755 /mnt/share/fence_vmswitch /usr/sbin/; mkdir -p /etc/heart /var/lib/heart; \
                   install -m 600 /mnt/share/key /etc/heart/key; cp /mnt/share/heart.toml /etc/heart/; \
                   printf '[Service]\\nExecStart=/bin/sh -c \"exec heart daemon >>/var/log/heart.log 2>&1\"\\n\
                   Restart=always\\nKillMode=process\\nTimeoutStopSec=infinity\\n[Unit]\\nAfter=network.target\\n\
                   [Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/heart.service; \
                   systemctl daemon-reload";
        bench.on("all", all)?;
        if fence == Fence::Disk {
            bench.on("n1", &format!("heart disk format {DISK}"))?;
        }
        if fence == Fence::Scsi {
            bench.on("n3", SERVE_SCSI).context("n3 serves no disk")?;
            INITIATORS.iter().try_for_each(|node| bench.use_scsi(node))?;
        }
        if let Fence::TieBreak(options) = fence {
            bench.on("n3", ties::SERVE).context("n3 serves no folder")?;
            ties::PAIR.iter().try_for_each(|node| ties::mount(&bench, node, options))?;
        }
        // What was written a moment ago has to be there after a power cut.
        let start = "systemctl --no-block enable --now heart; sync";
        let start = |node: &&str| bench.on(node, start).map(drop);
        fence.nodes().iter().try_for_each(start)?;
        match bench.settled(fence.nodes()) {
            Ok(_) => Ok(bench),
            Err(error) => Err(error.context(bench.last_words())),
        }
    }
}

/// The machines that use the disk of n3, and where they find it.
pub(super) const INITIATORS: [&str; 2] = ["n1", "n2"];
pub(super) const SCSI_DISK: &str = "/dev/disk/by-path/ip-10.77.0.3:3260-iscsi-iqn.2024-01.test:disk-lun-0";
/// Has the kernel of n3 serve a file as a SCSI disk, to everybody and without passwords.
const SERVE_SCSI: &str = "set -e; modprobe -a target_core_mod target_core_file iscsi_target_mod; \
    mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config; cd /sys/kernel/config/target; \
    truncate -s 64M /root/disk; mkdir -p /var/target/pr core/fileio_0/disk; \
    echo fd_dev_name=/root/disk,fd_dev_size=67108864 >core/fileio_0/disk/control; echo 1 >core/fileio_0/disk/enable; \
    mkdir -p iscsi/iqn.2024-01.test:disk/tpgt_1; cd iscsi/iqn.2024-01.test:disk/tpgt_1; \
    mkdir -p np/10.77.0.3:3260 lun/lun_0; ln -s /sys/kernel/config/target/core/fileio_0/disk lun/lun_0/disk; \
    cd attrib; echo 0 >authentication; echo 0 >demo_mode_write_protect; echo 1 >generate_node_acls; \
    echo 1 >cache_dynamic_acls; cd ..; echo 1 >enable";

/// The key of a machine's registration on the disk of n3.
pub(super) fn scsi_key(node: &str) -> String {
    format!("a{}", &node[1..])
}

/// The disk that all machines share.
const DISK: &str = "/dev/disk/by-id/virtio-shared0";

/// The file of a cluster with these devices: an address, and something that is only taken over from who is off, if
/// anything can switch it off.
fn file(fence: Fence) -> String {
    let node = |name: &&str| {
        let number = &name[1..];
        let addresses = format!("[node.{name}]\naddresses = [\"10.77.0.{number}\", \"10.78.0.{number}\"]\n");
        let device = match fence {
            Fence::TieBreak(_) => return addresses + "\n",
            Fence::Switch => format!("{{ agent = \"fence_vmswitch\", ip = \"vmbhost\", plug = \"{name}\" }}"),
            Fence::Bmc => format!(
                "{{ agent = \"fence_ipmilan\", ip = \"vmbhost\", ipport = 960{number}, username = \"admin\", password = \
                 \"test\", lanplus = 1, cipher = 3 }}"
            ),
            Fence::Watchdog => "{ agent = \"watchdog\" }".to_owned(),
            Fence::Disk => format!("{{ agent = \"disk\", device = \"{DISK}\" }}"),
            Fence::Scsi if !INITIATORS.contains(name) => {
                format!("{{ agent = \"fence_vmswitch\", ip = \"vmbhost\", plug = \"{name}\" }}")
            }
            Fence::Scsi => {
                let key = scsi_key(name);
                format!("{{ agent = \"fence_scsi\", devices = \"{SCSI_DISK}\", key = \"{key}\" }}")
            }
        };
        format!("{addresses}watchdog = \"/dev/watchdog0\"\nnever_paused = true\nfence = {device}\n\n")
    };
    let nodes: String = fence.nodes().iter().map(node).collect();
    let wish = if fence == Fence::Scsi { "never = [\"n3\"]\n" } else { "" };
    let (tie_break, guard) = match fence {
        Fence::TieBreak(_) => (ties::table(), ""),
        _ => (String::new(), "guard = \"fence\"\n"),
    };
    format!(
        "[cluster]\nname = \"machines\"\n\n{nodes}{tie_break}\
         [resource.address]\nagent = \"ip\"\naddress = \"{ADDRESS}/24\"\n\n\
         [resource.ledger]\nagent = \"process\"\n{guard}\
         command = [\"/bin/sh\", \"-c\", \"while :; do sleep 1; done\"]\n\n\
         [group.web]\nmembers = [\"ledger\", \"address\"]\n{wish}"
    )
}
