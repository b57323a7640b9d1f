//! The inputs and outputs of the elector.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Exit, Finished, Health, Progress, Reason, Released};
use super::super::clock::Moment;
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::PodLock;

/// The candidate whose decisions these are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// New for every process.
    pub identity: Identity,
    /// The uid of the SingletonJob that this pod was made for. The candidate runs no other one's runs.
    pub job_uid: String,
    /// From SIGTERM to SIGKILL when asked to stop while the lease is safe.
    pub stop_grace: Duration,
    /// What is amiss with its container for as long as that lives, in a sentence each.
    pub warnings: Vec<String>,
    /// What the clocks of its node count, for its renewals to tell; `None` if that is not known.
    pub clock_source: Option<String>,
    /// The lock of its pod. `None` if it does not have that: then it proves no death, and signs nothing.
    pub lock: Option<PodLock>,
}

impl Candidate {
    /// A candidate with nothing amiss, of whose clocks and pod's lock nothing is known.
    pub fn new(identity: Identity, job_uid: impl Into<String>, stop_grace: Duration) -> Self {
        Self {
            identity,
            job_uid: job_uid.into(),
            stop_grace,
            warnings: Vec::new(),
            clock_source: None,
            lock: None,
        }
    }
}

/// How an observation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// May lag behind.
    Watch,
    /// Linearizable.
    Read,
}

/// What the outside world told the elector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The Lease looks like this.
    Saw(Box<Record>, Source),
    /// A linearizable read found no Lease.
    Missing,
    /// The watch says that the Lease was deleted; to be confirmed by a read.
    Vanished,
    /// A read failed: address and class of error.
    Unreachable(String),
    /// A PUT ended, one way or another.
    Answered {
        /// Which.
        attempt: u64,
        /// How.
        answer: Answer,
    },
    /// Something happened in the container.
    Told(Fact),
    /// Time has passed.
    Tick,
}

/// How a PUT ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 2xx; this is what is stored now.
    Stored(Box<Record>),
    /// 409: it was not stored, because something else was stored first.
    Conflict,
    /// It was certainly not stored, for this reason.
    Refused(String),
    /// Timeout, lost connection, 5xx: it may have been stored, or may still be.
    Unknown(String),
}

/// What happened in the container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The workload was not started: the time allowed for it had passed.
    NotStarted,
    /// The workload's first process ended; others may still run.
    WorkloadEnded(Exit),
    /// After a kill: no process is left but our own.
    TreeEmpty,
    /// The container is to end.
    Drain,
    /// The liveness probe failed: the drain that follows is a failure of the workload.
    Unhealthy,
    /// The readiness probe of the workload that runs has succeeded.
    Ready,
    /// How late this process wakes up at most, lately.
    Lateness(Duration),
}

/// What the elector wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Compare and swap; answered by [`Input::Answered`] within the deadline.
    Put {
        /// To be named in the answer.
        attempt: u64,
        /// What to write.
        write: Box<Write>,
        /// The longest that an answer is waited for.
        deadline: Duration,
    },
    /// A linearizable read; answered by [`Input::Saw`], [`Input::Missing`] or [`Input::Unreachable`] within
    /// the deadline.
    Read {
        /// The longest that an answer is waited for.
        deadline: Duration,
    },
    /// An order to the owner of the workload.
    Order(Order),
    /// End this process. Nothing comes after that.
    Exit(Ending),
}

/// What the owner of the workload does, at once and in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Everything dies at this reading of CLOCK_BOOTTIME, even if this process is stopped, or sleeps in the
    /// kernel.
    ArmDeadline {
        /// When.
        at: Duration,
        /// `K`: what the kill may take after that.
        kill_margin: Duration,
    },
    /// Name this process in the file of the pod's lock. Comes right before the write that acquires: what may be
    /// stored in the name of this process is to be given back after its death.
    SignLock {
        /// The Lease that it acquires.
        lease_uid: String,
    },
    /// Nothing runs any more.
    DisarmDeadline,
    /// Start the workload.
    Start(Start),
    /// The workload is to end for this reason, whatever its exit: the release of an orphan goes by that too.
    /// Comes before the workload is told to end, and again if the reason changes.
    Stop(Cause),
    /// Ask the workload to end.
    Terminate,
    /// Kill everything but ourselves until nothing is left, then tell [`Fact::TreeEmpty`].
    Kill,
}

/// Why a workload is to end that has not ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is asked to, or the Lease is being lost.
    Release(Reason),
    /// Its liveness probe failed: its end is a failure.
    Unhealthy,
    /// Its run has taken as long as it may.
    Exceeded,
}

/// One start of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// The fencing token.
    pub token: Version,
    /// Which run, from 1.
    pub run: u32,
    /// The tick that it is the run of, if any.
    pub scheduled_time: Option<Timestamp>,
    /// Which attempt of this run, from 1.
    pub attempt: u32,
    /// Check the clock immediately before the fork, and do not start when this much has passed ...
    pub within: Duration,
    /// ... since then.
    pub since: Moment,
}

/// Why the process ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Stopped on request.
    Interrupted,
    /// Stopped on request, having started nothing. An acquisition based on this version may have been stored,
    /// or may still be: the Lease may come to be held in this process's name.
    InDoubt(Version),
    /// The workload ended by itself.
    Exited(Exit),
    /// The Lease was lost, for this reason.
    Lost(String),
    /// The Lease could never be read, for this reason.
    Unreadable(String),
    /// The process tree could not be emptied.
    Unkillable,
}

/// A compare-and-swap on the Lease: everything it changes. What is not named here stays as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Which Lease.
    pub uid: String,
    /// Fails unless this is the stored version.
    pub base: Version,
    /// Empty to release.
    pub holder: Option<Identity>,
    /// `L`.
    pub lease_duration: Duration,
    /// When this tenure began.
    pub acquire_time: Option<Timestamp>,
    /// Unique to this write.
    pub renew_time: Timestamp,
    /// How often the Lease changed hands; for people.
    pub transitions: i32,
    /// Set or removed, as are the three that follow.
    pub progress: Option<Progress>,
    /// Set when releasing; kept while the tenure lasts that began on it.
    pub released: Option<Released>,
    /// The last finished run.
    pub finished: Option<Finished>,
    /// How the holder fares.
    pub health: Option<Health>,
    /// Whether the directives about the tenure before are done with: a request to hand over, and that its
    /// holder is gone.
    pub drop_directives: bool,
}

/// What a candidate is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Has not read its Lease yet.
    Pending,
    /// Waits.
    Standby,
    /// Holds the Lease.
    Active,
    /// Holds the Lease, and is stopping or has ended.
    Stopping,
}

/// What others may know about a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// What it is.
    pub role: Role,
    /// Who holds the Lease, as far as it knows.
    pub holder: Option<Identity>,
    /// The fencing token, while it has one.
    pub token: Option<Version>,
    /// Until when the tenure is proven, on CLOCK_BOOTTIME.
    pub valid_until: Option<Duration>,
    /// Why the Lease cannot be read or renewed at the moment.
    pub trouble: Option<String>,
}
