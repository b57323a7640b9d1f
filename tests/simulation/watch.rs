//! Watches: streams that lag, fall silent, end, and are fed from a stale cache.

use std::time::Duration;

use crate::network::Direction;
use crate::process::News;
use crate::server::{Ailment, Change};
use crate::trace_event::Who;
use crate::world::{Event, World};

/// As the agent's store asks for.
const LIFETIME: Duration = Duration::from_secs(290);
const RETRY: Duration = Duration::from_secs(1);
/// Until a connection that no server accepts is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// One watch, on the server's side.
pub struct Stream {
    watch: u64,
    node: usize,
    lag: Duration,
    /// The connection is dead, and neither side was told.
    pub silent: bool,
    last: Duration,
    opened: Duration,
}

impl Stream {
    /// Whether it has told everything at once since before `then`.
    pub fn is_sound(&self, then: Duration) -> bool {
        !self.silent && self.lag.is_zero() && self.opened < then
    }
}

impl World {
    /// What was watched before is listened to no more.
    pub fn rewatch(&mut self, who: Who) {
        let Some(process) = self.electing(who) else { return };
        process.store.from = process.store.watched;
        self.open_watch(who);
    }

    /// From where the watch has come to.
    pub fn open_watch(&mut self, who: Who) {
        self.called += 1;
        let watch = self.called;
        let Some(process) = self.electing(who) else { return };
        process.store.watch = watch;
        let node = process.node;
        self.coverage.watches += 1;
        match self.passage(node, Direction::Requests) {
            Some(delay) => self.after(delay, Event::WatchOpens(who, watch)),
            None => self.after(CONNECT_TIMEOUT, Event::WatchEnds(who, watch, true)),
        }
    }

    pub fn watch_opens(&mut self, who: Who, watch: u64) {
        let now = self.now;
        let Some(process) = self.electing(who).filter(|process| process.store.watch == watch) else { return };
        let (node, from) = (process.node, process.store.from.map(|from| from.0));
        match self.server.ailment(now) {
            Some((Ailment::Hangs | Ailment::Stalls, until)) => {
                return self.queue.push(until, Event::WatchOpens(who, watch));
            }
            Some(_) => return self.after(Duration::from_millis(5), Event::WatchEnds(who, watch, true)),
            None => {}
        }
        let lag = self.server.cache_lag(now);
        let Some(backlog) = backlog(&self.server.history, from, now.saturating_sub(lag)) else {
            return self.after(Duration::from_millis(5), Event::WatchEnds(who, watch, true));
        };
        self.streams.insert(who, Stream { watch, node, lag, silent: false, last: now, opened: now });
        for change in backlog {
            self.deliver(who, &change);
        }
        self.after(LIFETIME, Event::WatchEnds(who, watch, false));
    }

    pub fn fan_out(&mut self) {
        let Some(change) = self.server.history.last().cloned() else { return };
        let watchers: Vec<_> = self.streams.keys().copied().collect();
        for who in watchers {
            self.deliver(who, &change);
        }
    }

    fn deliver(&mut self, who: Who, change: &Change) {
        let Some(stream) = self.streams.get(&who).filter(|stream| !stream.silent) else { return };
        let (node, watch, lag) = (stream.node, stream.watch, stream.lag);
        let passage = self.passage(node, Direction::Answers);
        let Some(stream) = self.streams.get_mut(&who) else { return };
        let Some(delay) = passage else {
            stream.silent = true;
            return;
        };
        // One connection: nothing overtakes.
        stream.last = (stream.last + Duration::from_nanos(1)).max(self.now.max(change.at + lag) + delay);
        self.queue.push(stream.last, Event::Watched(who, watch, change.clone()));
    }

    pub fn watched(&mut self, who: Who, watch: u64, change: Change) {
        if self.electing(who).is_some_and(|process| process.store.watch == watch) {
            self.tell(who, News::Watched(watch, change));
        }
    }

    pub fn watch_ends(&mut self, who: Who, watch: u64, failed: bool) {
        let Some(process) = self.electing(who).filter(|process| process.store.watch == watch) else { return };
        if failed {
            process.store.from = None;
            self.streams.remove(&who);
            self.after(RETRY, Event::Rewatch(who, watch));
        } else if self.streams.get(&who).is_some_and(|stream| !stream.silent) {
            self.open_watch(who);
        }
    }

    pub fn rewatch_if(&mut self, who: Who, watch: u64) {
        if self.electing(who).is_some_and(|process| process.store.watch == watch) {
            self.open_watch(who);
        }
    }

    /// Every connection is reset.
    pub fn end_all_watches(&mut self) {
        let all: Vec<_> = self.streams.iter().map(|(who, stream)| (*who, stream.watch)).collect();
        for (who, watch) in all {
            self.after(Duration::from_millis(2), Event::WatchEnds(who, watch, true));
        }
    }

    pub fn end_watch(&mut self, who: Who) {
        if let Some(watch) = self.streams.get(&who).map(|stream| stream.watch) {
            self.watch_ends(who, watch, true);
        }
    }
}

/// What a new watch is sent: the state of a cache that may lag, or all that came after `from`; none where
/// that is forgotten.
fn backlog(history: &[Change], from: Option<u128>, cached: Duration) -> Option<Vec<Change>> {
    let Some(from) = from else {
        let first = history.iter().rposition(|change| change.at <= cached).unwrap_or(0);
        // An absent Lease is not told of, it is only not there.
        let skipped = usize::from(history[first].lease.is_none());
        return Some(history[first + skipped..].to_vec());
    };
    let known = history.first().is_some_and(|first| first.version <= from);
    known.then(|| history.iter().filter(|change| change.version > from).cloned().collect())
}
