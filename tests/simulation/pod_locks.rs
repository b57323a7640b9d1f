//! The lock of each pod, which the kernel frees when the processes that share it are dead. `agent::pod_lock` in
//! virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use singletonjob::lease::elector::{PodLock, Signature};

use crate::kubelet::Place;
use crate::process::Process;
use crate::trace_event::Who;
use crate::world::{Mutant, World};

/// The file of one pod's lock.
#[derive(Default)]
struct LockFile {
    owner: Option<Who>,
    /// A process that shares the lock cannot die before.
    busy_until: Duration,
    signed: Option<Signature>,
}

/// Of all pods, by their uids.
#[derive(Default)]
pub struct PodLocks(BTreeMap<String, LockFile>);

impl World {
    /// Once, at the start of a process.
    pub fn take_lock(&mut self, who: Who, place: usize) -> Option<PodLock> {
        let (now, leaks) = (self.now, self.is_mutant(Mutant::UnlockedByFork));
        let place = &self.places[place];
        let since = self.nodes[place.node].clock.now(now).at;
        let file = self.pod_locks.0.entry(place.pod_uid()).or_default();
        if !leaks && (file.owner.is_some() || now < file.busy_until) {
            return None;
        }
        file.owner = Some(who);
        Some(PodLock { since, predecessor: file.signed.clone() })
    }

    pub fn sign_lock(&mut self, who: Who, lease_uid: String) {
        let Some(process) = self.processes.get(&who) else { return };
        let identity = process.candidate.identity.clone();
        if let Some(file) = identity.pod_uid().and_then(|uid| self.pod_locks.0.get_mut(uid)) {
            file.signed = Some(Signature { process: identity.clone(), lease_uid });
        }
    }

    /// Its PID 1 is dead, and its elector too unless that sleeps in the kernel.
    pub fn free_lock(&mut self, process: &Process) {
        let uid = process.candidate.identity.pod_uid();
        if let Some(file) = uid.and_then(|uid| self.pod_locks.0.get_mut(uid))
            && file.owner == Some(process.who)
        {
            (file.owner, file.busy_until) = (None, process.hangs_until);
        }
    }

    /// What is in the memory of a node is gone with it.
    pub fn forget_locks(&mut self, node: usize) {
        let uids = self.places.iter().filter(|place| place.node == node).map(Place::pod_uid);
        uids.for_each(|uid| drop(self.pod_locks.0.remove(&uid)));
    }
}
