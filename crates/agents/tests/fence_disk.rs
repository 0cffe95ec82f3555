//! Nodes that are told over a disk, a file here, to reset themselves. The other node is a thread that makes rounds.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use heart_agents::{
    clock,
    disk::Disk,
    fence::{Fencing, Places},
    wait::Bell,
};
use heart_disk::{
    Area, Slot,
    pill::{Look, Rounds, Seen},
    records::{Beat, Messages, Pledge},
};
use heart_model::{
    BootId, FenceAgent, FenceDevice, FenceOrder, FenceOutcome, FenceRight, Finding, Moment, NodeName, Power,
    Value,
};

const LIFE: BootId = BootId(7);
/// How soon the other node is off, whatever becomes of it.
const PLEDGE: Option<Pledge> =
    Some(Pledge { off_within: Duration::from_millis(500), reset: Duration::from_millis(10) });

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// A disk with a slot for each of ada, who tells, and bob, who is told.
struct Scene {
    folder: tempfile::TempDir,
    fencing: Fencing,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene {
            folder: tempfile::tempdir().unwrap(),
            fencing: Fencing::new(Places::default()).of("web", &name("ada")),
        };
        fs::write(scene.path(), vec![0; 1 << 20]).unwrap();
        Disk::format(&scene.path(), "web", &["ada", "bob"].map(name), None, false).unwrap();
        scene
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn device(&self) -> FenceDevice {
        FenceDevice {
            agent: FenceAgent::Disk,
            parameters: [("device".into(), Value::Text(self.path().to_str().unwrap().into()))].into(),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(6),
            timeout_is_least: true,
        }
    }

    fn order(&self) -> FenceOrder {
        FenceOrder {
            node: name("bob"),
            boot: LIFE,
            attempt: 1,
            devices: vec![self.device()],
            act: heart_model::FenceAct::Off,
            right: FenceRight::Agreed,
            session: None,
            hesitation: Duration::ZERO,
            addresses: Vec::new(),
        }
    }

    fn attempt(&self) -> FenceOutcome {
        self.fencing.carry_out(&self.order(), &Bell::new().unwrap(), &|| true)
    }

    fn fails(&self, words: &[&str]) {
        let FenceOutcome::Failed { message } = self.attempt() else { panic!("it is off") };
        words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
        assert_eq!(self.told(), Messages::default().all, "it is withdrawn");
    }

    fn told(&self) -> Vec<heart_disk::records::Message> {
        Disk::open(&self.path()).unwrap().read::<Messages>(Area::Messages, Slot(0)).unwrap().record.all
    }

    /// Bob makes rounds until he obeys, and goes on then if he `lies`; he is told to end by the flag.
    fn bob(&self, lies: bool) -> Bob {
        let (path, ends) = (self.path(), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&ends);
        let first = round(&path, PLEDGE, false);
        assert!(!first);
        Bob {
            ends,
            thread: Some(thread::spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    if round(&path, PLEDGE, lies) && !lies {
                        return;
                    }
                    thread::park_timeout(Duration::from_millis(100));
                }
            })),
        }
    }
}

struct Bob {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Bob {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        self.thread.take().map(JoinHandle::join);
    }
}

/// One round of bob's; whether he obeys a message. Who lies counts on all the same.
fn round(path: &Path, pledge: Option<Pledge>, lies: bool) -> bool {
    let (disk, me) = Disk::open_as(path, "web", &name("bob")).unwrap();
    let mut stands = disk.read::<Beat>(Area::Beats, me).unwrap();
    let messages = disk.read_all::<Messages>(Area::Messages).unwrap();
    let all: Vec<_> = (0..).map(Slot).zip(messages.into_iter().map(|one| one.record)).collect();
    let (now, lost_after) = (clock::now(), Duration::from_millis(600));
    let look = Look { now, lease_until: Moment::default(), lost_after };
    let told = Seen::default().told(me, LIFE, &all, &look);
    let (mut beat, obeys) = Rounds::new(LIFE, &stands.record, pledge).go_on(told, 0);
    beat.round += u64::from(lies && obeys);
    disk.write(Area::Beats, me, &mut stands, beat).unwrap();
    obeys
}

#[test]
fn who_reads_that_it_is_told_obeys_and_is_off() {
    let scene = Scene::new();
    let _bob = scene.bob(false);
    assert_eq!(scene.attempt(), FenceOutcome::Off);
    assert_eq!(scene.told(), []);
}

#[test]
fn who_says_that_it_obeys_and_goes_on_lies() {
    let scene = Scene::new();
    let _bob = scene.bob(true);
    scene.fails(&[
        "bob was told over disk /",
        "said that it obeys, and goes on all the same",
        "heart disk show",
    ]);
}

#[test]
fn who_does_not_read_is_off_when_its_watchdog_has_fired() {
    let scene = Scene::new();
    assert!(!round(&scene.path(), PLEDGE, false));
    assert_eq!(scene.attempt(), FenceOutcome::Off);
}

#[test]
fn who_never_said_that_it_has_a_watchdog_may_run_on() {
    let scene = Scene::new();
    assert!(!round(&scene.path(), None, false));
    scene.fails(&["its watchdog was not armed", "may run on, cut off from the disk"]);
}

#[test]
fn nobody_is_told_without_a_right_or_a_disk() {
    let scene = Scene::new();
    let refused = scene.fencing.carry_out(&scene.order(), &Bell::new().unwrap(), &|| false);
    assert!(matches!(refused, FenceOutcome::Failed { message } if message.contains("no lease any more")));
    assert_eq!(scene.told(), []);
    fs::remove_file(scene.path()).unwrap();
    let FenceOutcome::Failed { message } = scene.attempt() else { panic!("it is off") };
    assert!(message.contains("bob could not be told over disk /"), "{message}");
    assert!(message.contains("see whether the disk is there"), "{message}");
}

#[test]
fn what_an_earlier_executor_has_told_is_withdrawn() {
    let scene = Scene::new();
    let (disk, me) = Disk::open_as(&scene.path(), "web", &name("ada")).unwrap();
    let mut stands = disk.read::<Messages>(Area::Messages, me).unwrap();
    let mut messages = stands.record.clone();
    messages.tell(Slot(1), vec![LIFE]).unwrap();
    disk.write(Area::Messages, me, &mut stands, messages).unwrap();
    assert_eq!(scene.told().len(), 1);
    scene.fencing.forget(&scene.device(), &Bell::new().unwrap()).unwrap();
    assert_eq!(scene.told(), []);
}

#[test]
fn a_disk_is_tried_without_doing_anything() {
    let scene = Scene::new();
    let prove = || scene.fencing.prove(&scene.device(), &name("bob"), &Bell::new().unwrap());
    {
        let _bob = scene.bob(false);
        assert_eq!(prove(), Finding::Ready(Power::On));
    }
    let Finding::WithoutNode(why) = prove() else { panic!("nobody writes") };
    assert!(why.contains("did not write its slot"), "{why}");
    let nobody = scene.fencing.prove(&scene.device(), &name("cyn"), &Bell::new().unwrap());
    assert!(matches!(nobody, Finding::Unusable(why) if why.contains("cyn has no slot")));
}
