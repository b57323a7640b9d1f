//! One container of a candidate: an elector, what its store remembers, its kernel timer, its PID 1 and its
//! workload.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use singletonjob::lease::annotations::Exit;
use singletonjob::lease::clock::{Moment, Now};
use singletonjob::lease::elector::{Candidate, Cause, Elector, Fact, Orphan, Output, Role, Write};
use singletonjob::lease::identity::Version;
use singletonjob::lease::record::Record;

use crate::server::Change;
use crate::trace_event::Who;
use crate::world::Reply;

/// Which process of the container acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Electing,
    /// The elector is dead; PID 1 kills what is left.
    Fencing,
    /// PID 1 has the Lease given back.
    Speaking,
}

/// What is left of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    Empty,
    Running,
    /// Its first process ended; others run on.
    Orphaned,
    /// Killed, and hanging in the kernel: it executes nothing, and does not go away.
    Unkillable,
}

/// How the workload takes what is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    /// From SIGTERM to its exit; none where it ignores it.
    pub obeys_within: Option<Duration>,
    /// Children of the first process outlive it.
    pub leaves_orphans: bool,
    /// After SIGKILL it hangs for so long.
    pub hangs: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub struct Pause {
    pub until: Duration,
    pub since: Moment,
    /// PID 1 and the workload too.
    pub whole: bool,
}

/// A request that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Put(u64),
    Read,
    /// Of the last words.
    LastRead,
    LastPut,
}

/// What the store remembers.
#[derive(Default)]
pub struct Store {
    /// The base of the next write.
    pub newest: Option<Version>,
    /// The last that came from the watch.
    pub watched: Option<Version>,
    /// From where the watch goes on.
    pub from: Option<Version>,
    /// Which watch is listened to.
    pub watch: u64,
}

impl Store {
    /// The watch has come as far as this.
    pub fn follow(&mut self, version: Version) {
        self.watched = Some(version);
        self.from = Some(version);
    }

    pub fn remember(&mut self, record: &Record, watched: bool) {
        if !watched || self.newest.is_none_or(|newest| newest <= record.version) {
            self.newest = Some(record.version);
        }
    }
}

/// As PID 1 has it.
const LEAST_PATIENCE: Duration = Duration::from_millis(125);

/// What PID 1 knows of the elector.
#[derive(Clone, Copy, Default)]
pub struct SharedState {
    pub was_candidate: bool,
    pub token: Option<Version>,
    pub exit: Option<Exit>,
    pub cause: Option<Cause>,
    pub in_doubt: Option<Version>,
    pub deadline: Option<Duration>,
    pub kill_margin: Duration,
}

impl SharedState {
    /// How long PID 1 waits for everything to be gone.
    pub fn patience(&self) -> Duration {
        (self.kill_margin / 4).max(LEAST_PATIENCE)
    }

    pub fn orphan(&self, boot: Duration) -> Orphan {
        let overdue = self.deadline.is_some_and(|deadline| boot >= deadline);
        Orphan { token: self.token, exit: self.exit, cause: self.cause, overdue, in_doubt: self.in_doubt }
    }
}

/// What reaches the driver.
pub enum News {
    Tick,
    Fact(Fact),
    Reply(Call, Reply),
    /// By which watch.
    Watched(u64, Change),
}

/// What a process still has to do.
pub enum Todo {
    Hear(News),
    /// Decided at that moment.
    CarryOut(Output, Moment),
}

pub struct Process {
    pub who: Who,
    /// None when its pod was forgotten, and it runs on.
    pub place: Option<usize>,
    pub node: usize,
    pub candidate: Candidate,
    pub elector: Elector,
    pub born: Duration,
    pub stage: Stage,
    pub pause: Option<Pause>,
    /// Until then the elector sleeps in the kernel, and cannot die.
    pub hangs_until: Duration,
    pub todo: VecDeque<Todo>,
    pub store: Store,
    pub calls: BTreeMap<u64, Call>,
    /// What it was last ordered to write, for its last words.
    pub last_write: Option<Rc<Write>>,
    pub armed: Option<Duration>,
    pub page: SharedState,
    pub tree: Tree,
    pub temper: Temper,
    /// Which of its wake-ups is meant.
    pub wake: u64,
    pub lateness: Duration,
    pub late_until: Duration,
    pub starving: Duration,
    pub well_from: Duration,
    pub draining: bool,
    pub last_words_until: Duration,
}

impl Process {
    pub fn new(
        who: Who,
        place: usize,
        node: usize,
        candidate: Candidate,
        now: Now,
        born: Duration,
        temper: Temper,
    ) -> Self {
        Self {
            who,
            place: Some(place),
            node,
            elector: Elector::new(candidate.clone(), now),
            candidate,
            born,
            stage: Stage::Electing,
            pause: None,
            hangs_until: Duration::ZERO,
            todo: VecDeque::new(),
            store: Store::default(),
            calls: BTreeMap::new(),
            last_write: None,
            armed: None,
            page: SharedState::default(),
            tree: Tree::Empty,
            temper,
            wake: 0,
            lateness: Duration::ZERO,
            late_until: Duration::ZERO,
            starving: Duration::ZERO,
            well_from: born,
            draining: false,
            last_words_until: Duration::MAX,
        }
    }

    /// As the elector's container does after every step.
    pub fn publish(&mut self) {
        let view = self.elector.view();
        self.page.was_candidate |= view.role != Role::Pending;
        self.page.token = view.token.or(self.page.token);
    }

    /// Its memory is lost; what it has sent is on its way.
    pub fn forget(&mut self) {
        self.calls.clear();
        self.todo.clear();
        self.armed = None;
        self.store.watch = 0;
    }
}
