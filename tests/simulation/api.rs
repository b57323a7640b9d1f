//! Requests on their way to the server and back.

use std::rc::Rc;
use std::time::Duration;

use singletonjob::lease::elector::Write;
use singletonjob::lease::record::Record;

use crate::network::Direction;
use crate::process::{Call, News, Process, Stage};
use crate::server::{Ailment, Verdict};
use crate::trace_event::{Sent, State, TraceEvent, Who, who};
use crate::world::{Event, Mutant, Reply, Request, World};

/// Of the last words.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);
const LATEST_COMMIT: u64 = 8_000;

impl World {
    pub fn put(&mut self, sender: Who, call: Call, write: Rc<Write>, decided: Duration, deadline: Duration) {
        let boot = self.boot_of(sender);
        let put = Sent {
            base: write.base.0,
            holder: write.holder.as_ref().map(who),
            renew_time: write.renew_time,
            lease: write.lease_duration,
            starts: write.progress.as_ref().map_or(0, |progress| progress.starts),
            closed: write.progress.as_ref().is_some_and(|progress| !progress.open),
            decided,
        };
        self.note(TraceEvent::Sends { who: sender, boot, put });
        self.send(sender, call, Some(write), deadline);
    }

    pub fn ask(&mut self, sender: Who, call: Call, deadline: Duration) {
        self.note(TraceEvent::Reads { who: sender });
        self.send(sender, call, None, deadline);
    }

    fn send(&mut self, sender: Who, kind: Call, write: Option<Rc<Write>>, deadline: Duration) {
        self.called += 1;
        let call = self.called;
        let Some(process) = self.processes.get_mut(&sender) else { return };
        process.calls.insert(call, kind);
        let node = process.node;
        let timeout = self.nodes[node].clock.true_duration(deadline);
        self.after(timeout, Event::TimesOut(sender, call));
        if let Some(delay) = self.passage(node, Direction::Requests) {
            self.after(delay, Event::Arrives(Request { who: sender, node, call, write }));
        }
    }

    /// How long a message takes that leaves now; none where it is lost.
    pub fn passage(&mut self, node: usize, direction: Direction) -> Option<Duration> {
        let there = !self.nodes[node].down;
        let delay = self.nodes[node].link.passage(self.now, direction, &mut self.chance);
        if there { delay } else { None }
    }

    pub fn arrive(&mut self, request: Request) {
        match self.server.ailment(self.now) {
            None => self.serve(&request),
            Some((Ailment::Down, _)) => self.reply(&request, Reply::Unknown("connection refused")),
            Some((Ailment::Hangs, until)) => self.hold(request, until),
            Some((Ailment::Stalls, _)) => {
                let delay = self.chance.millis(300..=3000);
                self.after(delay, Event::Arrives(request));
            }
            Some((Ailment::Fails, _)) => self.fail(&request),
            Some((Ailment::Throttles, _)) => self.reply(&request, Reply::Refused("too many requests (429)")),
            Some((Ailment::Forbids, _)) => self.reply(&request, Reply::Refused("forbidden (403)")),
        }
    }

    fn hold(&mut self, request: Request, until: Duration) {
        if self.chance.percent(50) {
            let delay = until - self.now + self.chance.millis(0..=2000);
            self.after(delay, Event::Arrives(request));
        }
    }

    /// 500: what became of the write, no agent can know.
    fn fail(&mut self, request: &Request) {
        match (&request.write, self.chance.number(0..=2)) {
            (Some(write), 0) => drop(self.commit(request.who, write)),
            (Some(write), 1) => {
                let delay = self.chance.millis(1..=LATEST_COMMIT);
                self.after(delay, Event::CommitsLate(request.who, Rc::clone(write)));
            }
            _ => {}
        }
        self.reply(request, Reply::Unknown("internal error (500)"));
    }

    fn serve(&mut self, request: &Request) {
        let reply = match &request.write {
            None => self.server.lease().map_or(Reply::NotFound, |lease| Reply::Found(Rc::clone(lease))),
            Some(write) => match self.commit(request.who, write) {
                Verdict::Stored(lease, _) => Reply::Stored(lease),
                Verdict::Conflict => Reply::Conflict,
                Verdict::NotFound => Reply::NotFound,
            },
        };
        self.reply(request, reply);
    }

    fn reply(&mut self, request: &Request, reply: Reply) {
        if let Some(delay) = self.passage(request.node, Direction::Answers) {
            self.after(delay, Event::Answer(request.who, request.call, reply));
        }
    }

    pub fn commit(&mut self, sender: Who, write: &Write) -> Verdict {
        let write =
            if self.is_mutant(Mutant::NoCompareAndSwap) { self.rebased(write) } else { write.clone() };
        let verdict = self.server.put(self.now, &write);
        match &verdict {
            Verdict::Stored(lease, true) => self.stored(Some(sender), lease),
            Verdict::Stored(_, false) => self.coverage.identical += 1,
            Verdict::Conflict => self.coverage.conflicts += 1,
            Verdict::NotFound => {}
        }
        verdict
    }

    fn rebased(&self, write: &Write) -> Write {
        let lease = self.server.lease().filter(|lease| lease.uid == write.uid);
        Write { base: lease.map_or(write.base, |lease| lease.version), ..write.clone() }
    }

    pub fn stored(&mut self, by: Option<Who>, lease: &Rc<Record>) {
        self.note(TraceEvent::Commits { by, state: State::of(lease) });
        self.lease_changed();
    }

    pub fn lease_changed(&mut self) {
        self.fan_out();
        let others = self.chance.number(0..=3);
        self.server.pass_by(others);
        let hop = self.chance.millis(1..=60);
        self.after(hop, Event::LeaseChanged);
    }

    pub fn answer(&mut self, sender: Who, call: u64, reply: Reply) {
        let Some(process) = self.processes.get_mut(&sender) else { return };
        match process.calls.remove(&call) {
            None => {}
            Some(Call::LastRead) => self.last_read(sender, reply),
            Some(Call::LastPut) => self.last_written(sender, &reply),
            Some(kind) => self.tell(sender, News::Reply(kind, reply)),
        }
    }

    fn speaking(&mut self, who: Who) -> Option<&mut Process> {
        self.processes.get_mut(&who).filter(|process| process.stage == Stage::Speaking)
    }

    /// Begins, begins again, or gives up.
    pub fn last_words(&mut self, who: Who) {
        let boot = self.boot_of(who);
        let Some(process) = self.speaking(who) else { return };
        if boot >= process.last_words_until {
            self.exits(who, "its elector died; its last words were not heard");
        } else if process.calls.is_empty() {
            self.ask(who, Call::LastRead, REQUEST_DEADLINE);
        }
    }

    fn last_read(&mut self, who: Who, reply: Reply) {
        let Some(now) = self.clock_of(who) else { return };
        let Some(process) = self.speaking(who) else { return };
        match reply {
            Reply::Found(record) | Reply::Stored(record) => {
                let orphan = process.page.orphan(now.at.boot);
                match orphan.release(&record, &process.candidate.identity, now) {
                    Some(write) => {
                        self.put(who, Call::LastPut, Rc::new(write), now.at.boot, REQUEST_DEADLINE);
                    }
                    None if !orphan.is_settled_by(&record) => self.speak_again(who),
                    None => self.exits(who, "its elector died, and did not hold the Lease"),
                }
            }
            Reply::NotFound => self.exits(who, "its elector died, and the Lease is gone"),
            Reply::Conflict | Reply::Refused(_) | Reply::Unknown(_) => self.speak_again(who),
        }
    }

    fn last_written(&mut self, who: Who, reply: &Reply) {
        match reply {
            Reply::Stored(_) => self.exits(who, "its elector died; PID 1 had the Lease given back"),
            _ => self.speak_again(who),
        }
    }

    fn speak_again(&mut self, who: Who) {
        self.after(BETWEEN_ATTEMPTS, Event::LastWords(who));
    }
}
