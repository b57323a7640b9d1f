//! Electors that break one rule of the protocol each.

/// What to change in the source of the elector, and what to expect.
pub struct Mutant {
    /// A name of a module.
    pub name: &'static str,
    /// The rule, in the words of what it does wrong.
    pub breaks: &'static str,
    /// A file below `src/lease`, a text that occurs there exactly once, and what it becomes.
    pub changes: &'static [(&'static str, &'static str, &'static str)],
    /// Where it must be noticed.
    pub world: &'static str,
}

/// What the elector does not see of its Lease, and a mutant does.
const ATTEMPTS_IN_SIGHT: (&str, &str, &str) =
    ("elector/local_lease.rs", "    attempts: Vec<Attempt>,", "    pub(super) attempts: Vec<Attempt>,");

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the_dead_die_at_once",
        breaks: "a predecessor is taken to be dead as soon as the pod's lock is free",
        changes: &[(
            "elector/predecessor.rs",
            "kill_margin(record.lease_duration).saturating_sub(passed)",
            "Duration::ZERO.min(kill_margin(record.lease_duration).saturating_sub(passed))",
        )],
        world: "everything killed",
    },
    Mutant {
        name: "any_container_of_the_pod",
        breaks: "the lock proves the death of every process of the pod",
        changes: &[
            (
                "elector/predecessor.rs",
                "dead.is_some() && record.holder.as_ref() == dead;",
                "dead.is_some() && record.holder.as_ref().and_then(Identity::pod_uid) == dead.and_then(Identity::pod_uid);",
            ),
            (
                "elector/predecessor.rs",
                "is_held_by_another || record.uid != signed.lease_uid",
                "(is_held_by_another && false) || record.uid != signed.lease_uid",
            ),
        ],
        world: "everything killed in one pod",
    },
    Mutant {
        name: "any_lease_of_that_name",
        breaks: "a predecessor is given back a Lease that was made again in its name",
        changes: &[(
            "elector/predecessor.rs",
            "is_held_by_another || record.uid != signed.lease_uid",
            "record.holder.is_some() && is_held_by_another && record.uid == signed.lease_uid && record.version.0 == 0",
        )],
        world: "everything killed, and the Lease deleted",
    },
    Mutant {
        name: "signed_at_the_start",
        breaks: "a process signs the pod's lock before it acquires",
        changes: &[(
            "elector/standby.rs",
            "        let may_write = drain.is_none() && lease.is_idle();\n",
            "        let may_write = drain.is_none() && lease.is_idle();\n        \
               if step.candidate.lock.is_some() { step.order(Order::SignLock { lease_uid: lease.latest().map_or(String::new(), |record| record.uid.clone()) }); }\n",
        )],
        world: "everything killed again",
    },
    Mutant {
        name: "unsigned",
        breaks: "a process acquires without signing the pod's lock",
        changes: &[(
            "elector/standby.rs",
            "    if step.candidate.lock.is_some() {\n        step.order(Order::SignLock { lease_uid: write.uid.clone() });\n    }\n",
            "",
        )],
        world: "everything killed again",
    },
    Mutant {
        name: "deadline_from_the_response",
        breaks: "a renewal counts from when its answer arrives",
        changes: &[(
            "elector/tenure/observation.rs",
            "Some(attempt) => self.extend(now, &attempt),",
            "Some(attempt) => { let mut late = attempt; late.sent = now; self.extend(now, &late); }",
        )],
        world: "delay",
    },
    Mutant {
        name: "acquisition_from_the_response",
        breaks: "an acquisition counts from when it is proven",
        changes: &[(
            "elector.rs",
            "self.begin_tenure(now, attempt);",
            "let mut late = attempt; late.sent = now.at; self.begin_tenure(now, late);",
        )],
        world: "acquisition",
    },
    Mutant {
        name: "ambiguous_acquisition",
        breaks: "an acquisition of unknown fate is taken for granted",
        changes: &[
            ATTEMPTS_IN_SIGHT,
            (
                "elector.rs",
                "                if matches!(self.stage, Stage::Standby(_)) {\n",
                "                if let (Some(attempt), Stage::Standby(_)) = (self.lease.attempts.first().copied(), &self.stage) {\n                    \
                   self.begin_tenure(now, attempt);\n",
            ),
        ],
        world: "acquisition",
    },
    Mutant {
        name: "no_room_for_drift",
        breaks: "D + K = L: clocks may not differ",
        changes: &[(
            "timing.rs",
            "lease_duration * 5 / 6 - kill_margin(lease_duration)",
            "lease_duration - kill_margin(lease_duration)",
        )],
        world: "drifting clocks",
    },
    Mutant {
        name: "no_kill_margin",
        breaks: "D = L / 1.2: the kill takes no time",
        changes: &[(
            "timing.rs",
            "lease_duration * 5 / 6 - kill_margin(lease_duration)",
            "lease_duration * 5 / 6",
        )],
        world: "drifting clocks",
    },
    Mutant {
        name: "sight_without_renew_time",
        breaks: "a takeover on the newest version, whatever was renewed meanwhile",
        changes: &[(
            "elector/standby.rs",
            "(record.uid.clone(), record.holder.clone(), record.renew_time)",
            "(record.uid.clone(), record.holder.clone(), None)",
        )],
        world: "delay",
    },
    Mutant {
        name: "sight_without_uid",
        breaks: "a recreated Lease is taken for the one before",
        changes: &[(
            "elector/standby.rs",
            "(record.uid.clone(), record.holder.clone(), record.renew_time)",
            "(String::new(), record.holder.clone(), record.renew_time)",
        )],
        world: "deletion",
    },
    Mutant {
        name: "a_read_renews",
        breaks: "an agent that sees its own name in a newer version has renewed",
        changes: &[(
            "elector/tenure/observation.rs",
            "            self.version = record.version;\n",
            "            self.version = record.version;\n            self.proof.sent = now;\n",
        )],
        world: "directives",
    },
    Mutant {
        name: "any_attempt_is_proven",
        breaks: "a read that shows our name proves an attempt, whichever it shows",
        changes: &[("elector/attempt.rs", "            && record.renew_time == Some(self.renew_time)\n", "")],
        world: "directives",
    },
    Mutant {
        name: "unwritten_success",
        breaks: "every 200 is a renewal, whether something was written or not",
        changes: &[
            (
                "elector.rs",
                "            Answer::Stored(record) => self.observe(now, *record, Source::Read),\n",
                "            Answer::Stored(record) => {\n                \
               let attempt = self.lease.attempts.iter().find(|attempt| attempt.id == id).copied();\n                \
               if let (Some(attempt), Stage::Tenure(tenure)) = (attempt, &mut self.stage) { tenure.extend(now.at, &attempt); }\n                \
               self.observe(now, *record, Source::Read);\n            }\n",
            ),
            (
                "elector/tenure/observation.rs",
                "    fn extend(&mut self",
                "    pub(in super::super) fn extend(&mut self",
            ),
            ATTEMPTS_IN_SIGHT,
        ],
        world: "unwritten",
    },
    Mutant {
        name: "release_of_a_full_tree",
        breaks: "a release is sent when the stop begins, not when the tree is empty",
        changes: &[(
            "elector/tenure/stop.rs",
            "self.phase = if self.workload == Workload::Unstarted {",
            "self.phase = if true {",
        )],
        world: "directives",
    },
    Mutant {
        name: "no_quarantine",
        breaks: "whatever is empty is free",
        changes: &[(
            "elector/standby.rs",
            "if record.is_released() { Duration::ZERO }",
            "if record.holder.is_none() { Duration::ZERO }",
        )],
        world: "deletion",
    },
    Mutant {
        name: "mark_of_another_write",
        breaks: "a mark frees a Lease that was written after it",
        changes: &[("record.rs", " && mark.renew_time == self.renew_time", "")],
        world: "holder cleared",
    },
    Mutant {
        name: "mark_of_another_lease",
        breaks: "a mark frees a Lease that was made after it",
        changes: &[("record.rs", "mark.lease_uid == self.uid && ", "")],
        world: "deletion",
    },
    Mutant {
        name: "token_from_transitions",
        breaks: "the fencing token is leaseTransitions",
        changes: &[(
            "elector/tenure.rs",
            "token: record.version,",
            "token: Version(u128::try_from(record.transitions).unwrap_or(0)),",
        )],
        world: "deletion",
    },
    Mutant {
        name: "trusts_renew_time",
        breaks: "a challenger compares renewTime with its own time of day",
        changes: &[(
            "elector/standby.rs",
            "self.wait(now, step.candidate, lease) == Some(Duration::ZERO)",
            "(self.wait(now, step.candidate, lease) == Some(Duration::ZERO) \
               || lease.latest().and_then(|record| record.renew_time).is_some_and(|renewed| \
               Duration::try_from(now.wall.duration_since(renewed)).unwrap_or_default() > lease.longest_lease()))",
        )],
        world: "time of day is ahead",
    },
    Mutant {
        name: "renew_time_repeats",
        breaks: "renewTime is the time of day, which may stand still",
        changes: &[(
            "record.rs",
            "previous.checked_add(Duration::from_micros(1)).ok()",
            "previous.checked_add(Duration::ZERO).ok()",
        )],
        world: "time of day stands still",
    },
    Mutant {
        name: "renewal_sets_the_time_back",
        breaks: "a renewal has the time of day, as an acquisition has",
        changes: &[(
            "elector/local_lease.rs",
            "let next = Record::next_renew_time(stored, self.first_renew_time(wall));",
            "let next = wall;",
        )],
        world: "time of day stands still",
    },
    Mutant {
        name: "mark_of_a_time_to_come",
        breaks: "a tenure may come to the renewTime that the mark of the one before is bound to",
        changes: &[(
            "elector/local_lease.rs",
            "if marked == Some(time) {",
            "if marked == Some(time) && false {",
        )],
        world: "time of day is behind",
    },
    Mutant {
        name: "holder_trusts_one_clock",
        breaks: "a holder counts by the slower of its clocks",
        changes: &[(
            "clock.rs",
            ".max(self.raw.saturating_sub(earlier.raw))",
            ".min(self.raw.saturating_sub(earlier.raw))",
        )],
        world: "sleeping machine",
    },
    Mutant {
        name: "challenger_trusts_one_clock",
        breaks: "a challenger counts by the faster of its clocks",
        changes: &[(
            "clock.rs",
            ".min(self.raw.saturating_sub(earlier.raw))",
            ".max(self.raw.saturating_sub(earlier.raw))",
        )],
        world: "slewed clock",
    },
    Mutant {
        name: "late_answer_revives",
        breaks: "an answer after the deadline moves it",
        changes: &[(
            "elector/tenure/observation.rs",
            "!self.proof.is_over(now) && proof.remaining(now)",
            "proof.remaining(now)",
        )],
        world: "delay",
    },
    Mutant {
        name: "completion_outside_the_release",
        breaks: "the outcome is not in the write that releases",
        changes: &[(
            "elector/release.rs",
            "finished: finished.or_else(|| record.annotations.finished.clone()),",
            "finished: finished.and(record.annotations.finished.clone()),",
        )],
        world: "completion",
    },
    Mutant {
        name: "finished_runs_again",
        breaks: "a run that was recorded as finished is acquired",
        changes: &[("elector/standby.rs", " && !record.is_finished()", "")],
        world: "completion",
    },
    Mutant {
        name: "stop_is_ignored",
        breaks: "a Lease is acquired although nothing should run",
        changes: &[("elector/standby.rs", "run.desired == Desired::Run && ", "")],
        world: "directives",
    },
    Mutant {
        name: "old_news_ends_a_tenure",
        breaks: "an observation from before the own last write counts",
        changes: &[(
            "elector.rs",
            "Stage::Tenure(tenure) if record.version > tenure.version => {",
            "Stage::Tenure(tenure) => {",
        )],
        world: "ambiguous acquisition",
    },
    Mutant {
        name: "absence_by_hearsay",
        breaks: "a watch that says that the Lease is gone is believed",
        changes: &[(
            "elector.rs",
            "Input::Vanished => self.lease.want_read(),",
            "Input::Vanished => self.missing(now),",
        )],
        world: "lag",
    },
    Mutant {
        name: "handover_to_anybody",
        breaks: "a request to hand over is obeyed by any holder",
        changes: &[(
            "elector/tenure/stop.rs",
            ".filter(|handover| handover.holder == candidate.identity)",
            "",
        )],
        world: "handover to one that is gone",
    },
    Mutant {
        name: "grace_without_end",
        breaks: "a drain ends when the lease does, and it is renewed for ever",
        changes: &[(
            "elector/tenure/orders.rs",
            "grace.min(self.proof.kill_remaining(now))",
            "grace.max(self.proof.kill_remaining(now))",
        )],
        world: "drain",
    },
    Mutant {
        name: "undead_is_held_for_ever",
        breaks: "what cannot be killed is held for ever",
        changes: &[(
            "elector/tenure/ending.rs",
            "(now.elapsed_for_holder(*killed) >= UNKILLABLE_AFTER).then_some(Ending::Unkillable)",
            "(now.elapsed_for_holder(*killed) >= Duration::MAX).then_some(Ending::Unkillable)",
        )],
        world: "undying",
    },
    Mutant {
        name: "orphan_of_a_duplicate",
        breaks: "a release in the name of another container of the same pod",
        changes: &[(
            "elector/orphan.rs",
            "if record.holder.as_ref() != Some(dead) {",
            "if record.holder.as_ref().map(|holder| holder.pod_uid()) != Some(dead.pod_uid()) {",
        )],
        world: "containers of one pod",
    },
    Mutant {
        name: "head_start_at_every_flap",
        breaks: "a head start begins again whenever contact returns",
        changes: &[(
            "elector/standby.rs",
            "sight.returned.or(returned.then_some(now))",
            "returned.then_some(now).or(sight.returned)",
        )],
        world: "flapping contact",
    },
    Mutant {
        name: "start_before_the_timer",
        breaks: "the workload starts before its deadline is armed",
        changes: &[(
            "elector/tenure.rs",
            "        self.arm(step);\n        self.tell_cause(step);\n        self.drive(step);\n",
            "        self.tell_cause(step);\n        self.drive(step);\n        self.arm(step);\n",
        )],
        world: "delay",
    },
    Mutant {
        name: "start_after_the_renew_deadline",
        breaks: "a workload starts however little of its tenure is left",
        changes: &[(
            "elector/tenure/stop.rs",
            "if self.proof.soft_remaining(now).is_zero() {",
            "if self.proof.is_over(now) {",
        )],
        world: "late start",
    },
    Mutant {
        name: "shorter_lease_counts_when_confirmed",
        breaks: "a renewal with a shorter lease is believed to be lost until it is confirmed",
        changes: &[(
            "elector/tenure/sending.rs",
            "        self.shorten(step.now.at, &attempt);\n",
            "        let _ = attempt;\n",
        )],
        world: "shorter lease",
    },
    Mutant {
        name: "recorded_lease_is_ignored",
        breaks: "a challenger waits as long as is told, not as is recorded",
        changes: &[(
            "elector/local_lease.rs",
            "self.longest_lease = self.longest_lease.max(record.lease_duration);",
            "",
        )],
        world: "shorter lease",
    },
    Mutant {
        name: "stricter_policy_is_ignored",
        breaks: "whatever the policy, an expired lease is taken",
        changes: &[(
            "elector/standby.rs",
            "if !is_clear(record, policy) {",
            "if !is_clear(record, policy) && false {",
        )],
        world: "silent holder",
    },
    Mutant {
        name: "clearance_of_another_holder",
        breaks: "a word that a holder is gone is taken for the holder of now",
        changes: &[("record.rs", " && cleared.holder == self.holder", "")],
        world: "clearance of an earlier holder",
    },
    Mutant {
        name: "clearance_of_another_lease",
        breaks: "a word that a holder is gone counts in a Lease that was made after it",
        changes: &[("record.rs", "cleared.lease_uid == self.uid && ", "")],
        world: "clearance from a copy",
    },
    Mutant {
        name: "clearance_ends_the_wait",
        breaks: "a clearance frees at once",
        changes: &[(
            "elector/standby.rs",
            "if record.is_released() { Duration::ZERO }",
            "if record.is_released() || record.is_cleared() { Duration::ZERO }",
        )],
        world: "silent holder",
    },
    Mutant {
        name: "delay_is_ignored",
        breaks: "a silent holder is waited for no longer than its lease",
        changes: &[("elector/standby.rs", " + seconds(policy.delay_seconds)", "")],
        world: "delay after the lease",
    },
    Mutant {
        name: "failures_are_repeated_at_once",
        breaks: "a write that failed is repeated without a pause",
        changes: &[(
            "elector/local_lease.rs",
            "(true, false) => repetition(period),",
            "(true, false) => return Duration::ZERO,",
        )],
        world: "loss",
    },
    Mutant {
        name: "fatal_exit_is_tried_again",
        breaks: "an exit code that fails the run counts as any other",
        changes: &[(
            "elector/progress.rs",
            "if action == Some(FailureAction::FailRun) =>",
            "if action == Some(FailureAction::FailRun) && ran > SOUND_RUN =>",
        )],
        world: "failure policy",
    },
    Mutant {
        name: "failed_pod_counts_again",
        breaks: "a pod that the controller names as failed is counted with every write",
        changes: &[(
            "elector/charges.rs",
            "tenant.provisional.take_if(|provisional| *provisional != Provisional::Otherwise)",
            "tenant.provisional.filter(|provisional| *provisional != Provisional::Otherwise)",
        )],
        world: "failed pod",
    },
    Mutant {
        name: "failed_pod_is_unheard_by_the_holder",
        breaks: "a holder writes its account without what the controller has found out",
        changes: &[("elector/tenure/observation.rs", "            self.count_failed_pods(record);\n", "")],
        world: "failed pod",
    },
    Mutant {
        name: "failed_pod_leaves_an_attempt",
        breaks: "a candidate that takes over begins an attempt before it counts what failed",
        changes: &[(
            "elector/progress.rs",
            "    charges::settle(Progress { start_time, resumptions: run.resumptions, ..known }, run)\n",
            "    Progress { start_time, resumptions: run.resumptions, ..known }\n",
        )],
        world: "failed pod without attempts",
    },
    Mutant {
        name: "runs_without_end",
        breaks: "a holder goes on although its run has taken as long as it may",
        changes: &[("elector/tenure/stop.rs", "if limits::is_exceeded(self.left(now)) {", "if false {")],
        world: "active deadline",
    },
    Mutant {
        name: "ends_without_a_word",
        breaks: "a candidate that does not know whether it holds the Lease ends as if it did not",
        changes: &[(
            "elector/standby.rs",
            "return Some(Ending::InDoubt(base))",
            "return Some(Ending::Interrupted)",
        )],
        world: "lost acquisition",
    },
    Mutant {
        name: "lost_acquisition_counts",
        breaks: "a start that was not made counts, whatever says so",
        changes: &[("elector/orphan.rs", "Some(if progress.open {", "Some(if progress.open && false {")],
        world: "lost acquisition",
    },
    Mutant {
        name: "stops_in_secret",
        breaks: "a holder that is told to stop says so with its next renewal",
        changes: &[(
            "elector/tenure/sending.rs",
            "if self.phase.is_news() || is_ready_now {",
            "if is_ready_now {",
        )],
        world: "stop cut short",
    },
    Mutant {
        name: "cut_short_is_failed",
        breaks: "a holder that said that it stops, and fell silent, has failed",
        changes: &[(
            "elector/progress.rs",
            "health.stopping).unwrap_or(Reason::LeaseLost);",
            "health.stopping).and(None).unwrap_or(Reason::LeaseLost);",
        )],
        world: "stop cut short",
    },
    Mutant {
        name: "starts_after_the_end",
        breaks: "an acquirer starts a run that has taken as long as it may",
        changes: &[
            (
                "elector/progress.rs",
                "if is_spent(&progress, policy, limits::left(&progress, policy, wall)) {",
                "if is_spent(&progress, policy, None) {",
            ),
            (
                "elector/tenure/stop.rs",
                "if limits::is_exceeded(self.left(now)) {",
                "if limits::is_exceeded(self.left(now)) && self.started.is_some() {",
            ),
        ],
        world: "active deadline",
    },
    Mutant {
        name: "interrupted_and_exited_0",
        breaks: "a workload that was told to stop, and whose elector died, has its exit for its outcome",
        changes: &[(
            "elector/orphan.rs",
            "            return reason_of(cause);\n",
            "            let _ = reason_of(cause);\n",
        )],
        world: "told to stop",
    },
    Mutant {
        name: "outcome_that_frees",
        breaks: "an outcome gives the Lease back, although something survives",
        changes: &[(
            "elector/tenure/writes.rs",
            "Write { progress: Some(progress), finished: finished.or(renewal.finished), ..renewal }",
            "let mark = super::super::super::annotations::Released { lease_uid: renewal.uid.clone(), renew_time: Some(renewal.renew_time), by: step.candidate.identity.clone(), reason: why.reason(), token: Some(self.token), exit: self.workload.exit(), unhealthy: false, ready: false, last_renew_time: None };\n        Write { holder: None, released: Some(mark), progress: Some(progress), finished: finished.or(renewal.finished), ..renewal }",
        )],
        world: "outcome beside a survivor",
    },
    Mutant {
        name: "outcome_without_a_kill",
        breaks: "an outcome is recorded, and nothing was killed",
        changes: &[("elector/tenure/orders.rs", "                step.order(Order::Kill);\n", "")],
        world: "outcome beside a survivor",
    },
    Mutant {
        name: "outcome_that_renews",
        breaks: "an outcome is taken for a renewal",
        changes: &[(
            "elector/tenure/observation.rs",
            "                Some(attempt) if attempt.worth == Worth::Outcome => self.recorded(),\n",
            "",
        )],
        world: "outcome beside a survivor",
    },
    Mutant {
        name: "outcome_of_no_run",
        breaks: "an outcome closes the account and does not say that the run is finished",
        changes: &[(
            "elector/tenure/writes.rs",
            "finished: finished.or(renewal.finished)",
            "finished: finished.and(renewal.finished)",
        )],
        world: "next run after a survivor",
    },
    Mutant {
        name: "outcome_told_again",
        breaks: "a release tells the outcome once more",
        changes: &[(
            "elector/tenure/writes.rs",
            "            Some(recorded) if self.started.is_some() && !recorded.open => (recorded.clone(), None),\n",
            "",
        )],
        world: "outcome beside a survivor",
    },
    Mutant {
        name: "outcome_taken_for_free",
        breaks: "what has finished is not waited for",
        changes: &[(
            "elector/standby.rs",
            "if record.is_released() { Duration::ZERO }",
            "if record.is_released() || record.annotations.finished.is_some() { Duration::ZERO }",
        )],
        world: "next run after a survivor",
    },
    Mutant {
        name: "outcome_at_once",
        breaks: "the outcome of what dies late of its kill is recorded at once",
        changes: &[(
            "elector/tenure/sending.rs",
            "now.elapsed_for_holder(*killed).min(now.elapsed_for_holder(ended))",
            "now.elapsed_for_holder(*killed).max(now.elapsed_for_holder(ended))",
        )],
        world: "told to stop beside a survivor",
    },
    Mutant {
        name: "ready_from_the_start",
        breaks: "a workload counts as ready from when it is started",
        changes: &[(
            "elector/tenure.rs",
            "            readiness: Readiness::Unknown,\n",
            "            readiness: Readiness::Told(acquire_time),\n",
        )],
        world: "readiness",
    },
    Mutant {
        name: "ready_in_secret",
        breaks: "the first success of the readiness probe waits for the next renewal",
        changes: &[(
            "elector/tenure/sending.rs",
            "if self.phase.is_news() || is_ready_now {",
            "if self.phase.is_news() {",
        )],
        world: "readiness",
    },
    Mutant {
        name: "never_ready_in_the_end",
        breaks: "a release says of a workload that was ready that it never was",
        changes: &[("elector/tenure/writes.rs", "ready: self.readiness.since().is_some(),", "ready: false,")],
        world: "readiness",
    },
    Mutant {
        name: "outcome_by_its_exit",
        breaks: "a workload that was told to stop is recorded by its exit",
        changes: &[(
            "elector/tenure/writes.rs",
            "            reason: why.reason(),\n",
            "            reason: if self.workload.exit() == Some(super::super::super::annotations::Exit::Code(0)) { Reason::WorkloadSucceeded } else { why.reason() },\n",
        )],
        world: "told to stop beside a survivor",
    },
];
