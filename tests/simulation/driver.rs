//! How an elector is driven: what reaches it, what it decides, when it wakes. `lease::driver` in virtual
//! time.

use std::rc::Rc;
use std::time::Duration;

use singletonjob::lease::clock::Moment;
use singletonjob::lease::elector::{Answer, Fact, Input, Order, Output, Source};
use singletonjob::lease::identity::Version;
use singletonjob::lease::record::Record;

use crate::process::{Call, News, Process, Stage, Todo};
use crate::server::Change;
use crate::trace_event::{State, TraceEvent, Who};
use crate::world::{Event, Mutant, Reply, World};

/// There a pause matters most.
const HICCUPS_AT_THE_START: u32 = 50;

impl World {
    pub fn tell(&mut self, who: Who, news: News) {
        if let Some(process) = self.electing(who) {
            process.todo.push_back(Todo::Hear(news));
            self.carry_on(who);
        }
    }

    pub fn electing(&mut self, who: Who) -> Option<&mut Process> {
        self.processes.get_mut(&who).filter(|process| process.stage == Stage::Electing)
    }

    pub fn carry_on(&mut self, who: Who) {
        while let Some(todo) = self
            .electing(who)
            .filter(|process| process.pause.is_none())
            .and_then(|process| process.todo.pop_front())
        {
            match todo {
                Todo::Hear(news) => self.step(who, news),
                Todo::CarryOut(output, decided) => self.execute(who, output, decided),
            }
        }
        self.sleep(who);
    }

    fn step(&mut self, who: Who, news: News) {
        let Some(input) = self.heard(who, news) else { return };
        let Some(now) = self.clock_of(who) else { return };
        let twin = self.chance.once_in(64);
        let Some(process) = self.electing(who) else { return };
        let before = twin.then(|| process.elector.clone());
        let outputs = process.elector.step(now, input.clone());
        for output in outputs.iter().rev() {
            process.todo.push_front(Todo::CarryOut(output.clone(), now.at));
        }
        process.publish();
        if before.is_some_and(|mut twin| twin.step(now, input) != outputs) {
            self.judge.fail("I8: the same input gave other outputs");
        }
        let begins = outputs.iter().any(|output| matches!(output, Output::Order(Order::Start(_))));
        self.may_hiccup(who, begins);
    }

    fn may_hiccup(&mut self, who: Who, begins: bool) {
        let (hiccup, longest) = (self.settings.fault_profile.hiccup, if begins { 11_000 } else { 4_000 });
        if self.chance.once_in(if begins { hiccup.div_ceil(HICCUPS_AT_THE_START) } else { hiccup }) {
            let duration = self.chance.millis(1..=longest);
            self.pause(who, duration, false);
        }
    }

    /// As the driver takes it in, when it does.
    fn heard(&mut self, who: Who, news: News) -> Option<Input> {
        match news {
            News::Tick => Some(Input::Tick),
            News::Fact(fact) => {
                if let (Fact::WorkloadEnded(exit), Some(process)) = (&fact, self.electing(who)) {
                    process.page.exit = Some(*exit);
                }
                Some(Input::Told(fact))
            }
            News::Watched(watch, change) => self.heard_by_watch(who, watch, &change),
            News::Reply(Call::Put(attempt), reply) => {
                let answer = self.written(who, reply);
                Some(Input::Answered { attempt, answer })
            }
            News::Reply(_, reply) => Some(self.read(who, reply)),
        }
    }

    fn heard_by_watch(&mut self, who: Who, watch: u64, change: &Change) -> Option<Input> {
        let forgets = self.is_mutant(Mutant::ForgetsDeletions);
        let process = self.electing(who).filter(|process| process.store.watch == watch)?;
        if change.lease.is_some() || !forgets {
            process.store.follow(Version(change.version));
        }
        let Some(record) = &change.lease else { return Some(Input::Vanished) };
        self.remembers(who, record, true);
        Some(Input::Saw(Box::new(Record::clone(record)), Source::Watch))
    }

    fn written(&mut self, who: Who, reply: Reply) -> Answer {
        match reply {
            Reply::Stored(record) | Reply::Found(record) => {
                self.remembers(who, &record, false);
                Answer::Stored(Box::new(Record::clone(&record)))
            }
            Reply::Conflict => Answer::Conflict,
            Reply::NotFound => Answer::Refused("not found".to_owned()),
            Reply::Refused(why) => Answer::Refused(why.to_owned()),
            Reply::Unknown(why) => {
                self.rewatch(who);
                Answer::Unknown(why.to_owned())
            }
        }
    }

    fn read(&mut self, who: Who, reply: Reply) -> Input {
        match reply {
            Reply::Found(record) | Reply::Stored(record) => {
                self.remembers(who, &record, false);
                let behind = |process: &mut Process| {
                    process.store.watched.is_some_and(|watched| watched < record.version)
                };
                if self.electing(who).is_some_and(behind) {
                    self.rewatch(who);
                }
                Input::Saw(Box::new(Record::clone(&record)), Source::Read)
            }
            Reply::NotFound => Input::Missing,
            Reply::Refused(why) => Input::Unreachable(why.to_owned()),
            Reply::Conflict => Input::Unreachable("a read was answered with a conflict".to_owned()),
            Reply::Unknown(why) => {
                self.rewatch(who);
                Input::Unreachable(why.to_owned())
            }
        }
    }

    fn remembers(&mut self, who: Who, record: &Record, watched: bool) {
        let boot = self.boot_of(who);
        let Some(process) = self.electing(who) else { return };
        let news = !watched || process.store.newest.is_none_or(|newest| newest <= record.version);
        process.store.remember(record, watched);
        let told = record
            .annotations
            .policy
            .as_ref()
            .map_or(Duration::ZERO, |policy| Duration::from_secs(policy.lease_duration_seconds.into()));
        let longest = if news { record.lease_duration.max(told) } else { Duration::ZERO };
        self.note(TraceEvent::Hears { who, boot, triple: State::of(record).triple, longest });
    }

    fn execute(&mut self, who: Who, output: Output, decided: Moment) {
        match output {
            Output::Put { attempt, write, deadline } => {
                let Some(process) = self.electing(who) else { return };
                let write = Rc::new(*write);
                process.last_write = Some(Rc::clone(&write));
                if process.store.newest == Some(write.base) {
                    self.put(who, Call::Put(attempt), write, decided.boot, deadline);
                } else {
                    process.todo.push_back(Todo::Hear(News::Reply(Call::Put(attempt), Reply::Conflict)));
                }
            }
            Output::Read { deadline } => self.ask(who, Call::Read, deadline),
            Output::Order(order) => self.obey(who, order),
            Output::Exit(ending) => self.end(who, &ending),
        }
    }

    fn sleep(&mut self, who: Who) {
        let Some(now) = self.clock_of(who) else { return };
        let starving = self.now;
        let Some(process) = self.electing(who).filter(|process| process.pause.is_none()) else { return };
        process.wake += 1;
        let (wake, node) = (process.wake, process.node);
        let starves = starving < process.starving;
        let due = process.elector.wakes_in(now);
        let late = if starves {
            self.chance.millis(0..=500)
        } else {
            self.chance.between(Duration::ZERO..=Duration::from_millis(1))
        };
        let delay = self.nodes[node].clock.true_duration(due) + late;
        self.after(delay, Event::Wake(who, wake));
    }

    pub fn wake(&mut self, who: Who, wake: u64) {
        let sleeps = self.is_mutant(Mutant::Sleepers);
        if self
            .electing(who)
            .is_some_and(|process| process.wake == wake && process.pause.is_none() && !sleeps)
        {
            self.tell(who, News::Tick);
        }
    }
}
