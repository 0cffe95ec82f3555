//! All agents of one node.

use std::{io, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use heart_model::{AgentRef, ResourceSpec};

use crate::{
    agent::Agent,
    descriptors,
    ip::IpAgent,
    lease::LeaseView,
    notice::{Notices, notices},
    ocf::OcfAgent,
    process::{KeeperSetup, ProcessAgent},
};

/// What agents need to know of their node.
pub struct Setup {
    /// The node's name.
    pub node: String,
    /// Where the end of the lease can be read.
    pub lease: Arc<dyn LeaseView>,
    /// Signalled when the lease was over and goes on again: see [`crate::gate::Gate::start`].
    pub wake: Option<OwnedFd>,
    /// For keepers.
    pub keeper: KeeperSetup,
    /// Where OCF agents are: [`crate::ocf::OCF_ROOT`].
    pub ocf_root: PathBuf,
}

/// All agents of one node.
pub struct Agents {
    ip: Arc<IpAgent>,
    process: Arc<ProcessAgent>,
    ocf_root: PathBuf,
    node: String,
    run_dir: PathBuf,
    notices: Notices,
}

impl Agents {
    /// Makes the agents. Nothing is opened or started before one is used. This process may have as many descriptors as
    /// possible from then on.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new(setup: Setup) -> io::Result<Agents> {
        descriptors::raise();
        let (sender, notices) = notices()?;
        let ip = Arc::new(IpAgent::new(Arc::clone(&setup.lease), setup.wake, sender));
        let run_dir = setup.keeper.run_dir.clone();
        let process = Arc::new(ProcessAgent::new(setup.keeper, setup.lease));
        Ok(Agents { ip, process, ocf_root: setup.ocf_root, node: setup.node, run_dir, notices })
    }

    /// The agent that is meant.
    ///
    /// # Errors
    /// When this node does not have it; why, for people.
    pub fn get(&self, agent: &AgentRef) -> Result<Arc<dyn Agent>, String> {
        match agent {
            AgentRef::BuiltIn(name) if name == "ip" => Ok(Arc::clone(&self.ip) as Arc<dyn Agent>),
            AgentRef::BuiltIn(name) if name == "process" => Ok(Arc::clone(&self.process) as Arc<dyn Agent>),
            AgentRef::BuiltIn(name) => {
                Err(format!("there is no agent `{name}`: there are ip, process and ocf:…"))
            }
            AgentRef::Ocf { provider, kind } => {
                let (root, run_dir) = (self.ocf_root.clone(), self.run_dir.clone());
                Ok(Arc::new(OcfAgent::new(root, provider, kind, &self.node, run_dir)?))
            }
        }
    }

    /// What agents tell without being asked.
    #[must_use]
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// To be called once, before anything is adopted, with everything that may run since an
    /// earlier executor: see [`IpAgent::reclaim`].
    ///
    /// # Errors
    /// When the gate cannot be had.
    pub fn reclaim<'a>(&self, specs: impl IntoIterator<Item = &'a ResourceSpec>) -> io::Result<()> {
        self.ip.reclaim(specs.into_iter().filter(|spec| is_ip(spec)))
    }

    /// Silences all addresses among these in one go: the first thing to do when a lease is over.
    pub fn cut<'a>(&self, specs: impl IntoIterator<Item = &'a ResourceSpec>) {
        self.ip.cut(specs.into_iter().filter(|spec| is_ip(spec)));
    }
}

fn is_ip(spec: &ResourceSpec) -> bool {
    matches!(&spec.agent, AgentRef::BuiltIn(name) if name == "ip")
}
