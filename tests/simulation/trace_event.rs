//! What happens in the world, in the words in which it is judged, hashed and told.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use singletonjob::lease::annotations::UnreachableHolder;
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;

use crate::faults::Fault;
use crate::limits::Account;

/// One process of an agent; its nonce.
pub type Who = u64;
/// Of a SingletonJob, and which run.
pub type Run = (String, u32);

/// Rule 4: while this stays the same, the holder has not renewed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    pub uid: String,
    pub holder: Option<Who>,
    pub renew_time: Option<Timestamp>,
}

/// One stored state of the Lease, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub version: u128,
    pub triple: LeaseKey,
    pub released: bool,
    /// Whether a takeover without a release needs the controller's word, and whether it is there, for this
    /// very holder.
    pub strict: bool,
    pub cleared: bool,
    pub lease: Duration,
    /// Waited beyond the lease where nothing was released.
    pub delay: Duration,
    pub finished: Option<Run>,
    pub account: Account,
}

impl State {
    pub fn of(record: &Record) -> Self {
        let (finished, policy) = (record.annotations.finished.as_ref(), record.annotations.policy.as_ref());
        let said = record.annotations.cleared.as_ref().filter(|said| said.lease_uid == record.uid);
        Self {
            version: record.version.0,
            triple: LeaseKey {
                uid: record.uid.clone(),
                holder: record.holder.as_ref().map(who),
                renew_time: record.renew_time,
            },
            released: record.is_released(),
            strict: policy
                .is_some_and(|policy| policy.unreachable_holder != UnreachableHolder::AfterLeaseExpiry),
            cleared: said.is_some_and(|said| said.holder == record.holder),
            delay: Duration::from_secs(policy.map_or(0, |policy| policy.delay_seconds.into())),
            lease: record.lease_duration,
            finished: finished.map(|finished| (finished.uid.clone(), finished.run)),
            account: Account::of(record),
        }
    }
}

/// The nonce in an identity; 0 if it is no candidate's.
pub fn who(identity: &Identity) -> Who {
    identity.as_str().rsplit('_').next().and_then(|nonce| u64::from_str_radix(nonce, 16).ok()).unwrap_or(0)
}

/// A PUT that leaves its sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    pub base: u128,
    pub holder: Option<Who>,
    pub renew_time: Timestamp,
    pub lease: Duration,
    /// Of the run, by the account that it carries.
    pub starts: u32,
    /// That account is closed: a holder that says so tells an outcome, and renews nothing.
    pub closed: bool,
    /// When the elector decided to send it: earlier than it left.
    pub decided: Duration,
}

/// `boot` is a reading of the CLOCK_BOOTTIME of the agent that did it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TraceEvent {
    Appears {
        who: Who,
        place: usize,
    },
    Hears {
        who: Who,
        boot: Duration,
        triple: LeaseKey,
        longest: Duration,
    },
    Sends {
        who: Who,
        boot: Duration,
        put: Sent,
    },
    Reads {
        who: Who,
    },
    /// `None` if it was the controller.
    Commits {
        by: Option<Who>,
        state: State,
    },
    Deletes,
    Arms {
        who: Who,
        boot: Duration,
        deadline: Duration,
    },
    Disarms {
        who: Who,
    },
    Starts {
        who: Who,
        boot: Duration,
        token: u128,
        run: Run,
        within: Duration,
    },
    /// Nothing of its workload executes any more.
    Stops {
        who: Who,
        boot: Duration,
    },
    /// Its machine sleeps: nothing executes.
    Sleeps {
        who: Who,
    },
    Wakes {
        who: Who,
    },
    /// The elector has died, and not by itself.
    Dies {
        who: Who,
        overdue: bool,
    },
    /// The elector ends and does not know whether it holds the Lease.
    Doubts {
        who: Who,
    },
    Exits {
        who: Who,
        ending: &'static str,
    },
    Happens(Fault, Option<usize>),
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appears { who, place } => write!(formatter, "agent {who} appears at place {place}"),
            Self::Hears { who, triple, .. } => write!(formatter, "agent {who} hears of {triple}"),
            Self::Sends { who, put, .. } => {
                let act = if put.holder.is_some() { "a claim" } else { "a release" };
                write!(
                    formatter,
                    "agent {who} sends {act} based on version {}, renewTime {}",
                    put.base, put.renew_time
                )
            }
            Self::Reads { who } => write!(formatter, "agent {who} asks how the Lease is"),
            Self::Commits { by, state } => {
                let mark = if state.released { ", free" } else { "" };
                let end = if state.finished.is_some() { ", a run finished" } else { "" };
                let by = by.map_or("the controller".to_owned(), |who| format!("agent {who}"));
                write!(formatter, "version {} by {by}: {}{mark}{end}", state.version, state.triple)
            }
            Self::Deletes => write!(formatter, "the Lease is deleted"),
            Self::Arms { who, boot, deadline } => {
                write!(
                    formatter,
                    "agent {who} is killed in {:.3} s, on its clock",
                    deadline.saturating_sub(*boot).as_secs_f64()
                )
            }
            Self::Disarms { who } => write!(formatter, "agent {who} has nothing left to kill"),
            Self::Starts { who, token, run, .. } => {
                write!(formatter, "agent {who} STARTS run {} of {} by token {token}", run.1, run.0)
            }
            Self::Stops { who, .. } => write!(formatter, "agent {who} runs NOTHING any more"),
            Self::Sleeps { who } => write!(formatter, "agent {who} sleeps with its machine"),
            Self::Wakes { who } => write!(formatter, "agent {who} wakes with its machine"),
            Self::Dies { who, overdue } => write!(
                formatter,
                "the elector of agent {who} dies{}",
                if *overdue { ", overdue" } else { "" }
            ),
            Self::Doubts { who } => {
                write!(formatter, "the elector of agent {who} ends and may hold the Lease")
            }
            Self::Exits { who, ending } => write!(formatter, "agent {who} is over: {ending}"),
            Self::Happens(fault, Some(place)) => write!(formatter, "-- {fault:?} at place {place}"),
            Self::Happens(fault, None) => write!(formatter, "-- {fault:?}"),
        }
    }
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder {
            Some(holder) => write!(formatter, "{} held by {holder}", self.uid)?,
            None => write!(formatter, "{} no candidate holds the Lease", self.uid)?,
        }
        self.renew_time.map_or(Ok(()), |renewed| write!(formatter, " since {renewed}"))
    }
}
