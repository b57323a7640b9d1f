//! The worlds that are searched, each as small as its question allows.

use std::time::Duration;

use super::lease::annotations::{
    CompletionPolicy, FailureAction, FailurePolicy, FailureRule, Operator, Policy, UnreachableHolder,
};
use super::world::{BrokenAssumption, Clocks, Fault, World, policy};

/// Everything that is searched to its end.
pub fn all() -> Vec<World> {
    let worlds =
        [safety(), clocks(), directives(), strange_hands(), deaths(), locks(), unreachable(), liveness()];
    worlds.into_iter().flatten().collect()
}

/// # Panics
/// Where there is no such world.
pub fn named(name: &str) -> World {
    all()
        .into_iter()
        .find(|world| world.name == name)
        .unwrap_or_else(|| panic!("there is no world named {name}"))
}

/// The same with wider bounds, one at a time: together they have no end.
pub fn larger(world: &World) -> Vec<World> {
    let further = World { horizon: world.horizon + 1, ..world.clone() };
    let lazier = World { lazy: (0..world.agents).collect(), ..world.clone() };
    if world.lazy.is_empty() || world.lazy.len() == world.agents {
        vec![further]
    } else {
        vec![further, lazier]
    }
}

/// Two candidates of two pods, to the first takeover; the holder and its connection are as slow as they like.
fn quiet(name: &'static str) -> World {
    World {
        name,
        agents: 2,
        one_pod: false,
        tick: Duration::from_millis(500),
        horizon: 6,
        faults: Vec::new(),
        at_most: usize::MAX,
        clocks: Clocks::Equal,
        policy: policy(3),
        stop_grace: Duration::ZERO,
        lazy: vec![0],
        paused: None,
        pod_locks: false,
        last_words: false,
        patience: None,
        broken_assumption: BrokenAssumption::Nothing,
    }
}

/// Begins with a lease of 5 s, of which 3 s may become; there a second is fine enough.
fn long(world: World) -> World {
    World { policy: policy(5), tick: Duration::from_secs(1), horizon: 5, ..world }
}

/// With these faults, so many of them in one trace.
fn faulty(name: &'static str, at_most: usize, faults: &[Fault]) -> World {
    World { faults: faults.to_vec(), at_most, ..quiet(name) }
}

/// Messages that come late, or never, or say nothing.
fn safety() -> Vec<World> {
    let delay = World { lazy: vec![0, 1], ..quiet("delay") };
    let loss = faulty("loss", 1, &[Fault::LosePut, Fault::LoseRead]);
    let acquisition = World { lazy: vec![1], ..faulty("acquisition", 2, &[Fault::Vanish, Fault::LosePut]) };
    let acquisition = World { horizon: 9, ..acquisition };
    let ambiguous = faulty("ambiguous acquisition", 3, &[Fault::Crash, Fault::LosePut, Fault::SlowRead]);
    let ambiguous = World { last_words: true, lazy: vec![1], horizon: 1, ..ambiguous };
    let lag = faulty("lag", 1, &[Fault::SlowWatch, Fault::SlowRead, Fault::Rumour]);
    let unwritten = faulty("unwritten", 1, &[Fault::Unwritten]);
    vec![delay, loss, acquisition, ambiguous, lag, unwritten, start_late()]
}

/// The answer that lets a workload start may come after S, while D is not over.
fn start_late() -> World {
    let graceful = Policy {
        renew_deadline_milliseconds: 1500,
        grace_period_milliseconds: 500,
        retry_period_milliseconds: 500,
        ..policy(3)
    };
    World { policy: graceful, lazy: vec![1], horizon: 10, ..faulty("late start", 1, &[Fault::Vanish]) }
}

/// What follows on a release goes back in time, and comes to the moment of that release again.
fn behind() -> World {
    let behind =
        World { clocks: Clocks::Behind, ..faulty("time of day is behind", 2, &[Fault::Crash, Fault::Clear]) };
    World { last_words: true, horizon: 3, ..behind }
}

fn clocks() -> Vec<World> {
    let with = |name, clocks| World { clocks, ..quiet(name) };
    vec![
        with("drifting clocks", Clocks::Drifting),
        with("sleeping machine", Clocks::Sleeping),
        with("slewed clock", Clocks::Slewed),
        with("time of day stands still", Clocks::StandingStill),
        with("time of day is ahead", Clocks::Ahead),
        behind(),
    ]
}

/// What the controller writes, at any moment.
fn directives() -> Vec<World> {
    let touch = faulty("directives of no importance", 1, &[Fault::Touch]);
    let directives =
        World { horizon: 4, ..faulty("directives", 1, &[Fault::Touch, Fault::Handover, Fault::Stop]) };
    let handover = faulty("handover to one that is gone", 2, &[Fault::Crash, Fault::Handover]);
    let handover = World { lazy: Vec::new(), last_words: true, horizon: 4, ..handover };
    let shorter = long(faulty("shorter lease", 2, &[Fault::Shorten, Fault::Replace]));
    let longer = faulty("longer lease", 1, &[Fault::Lengthen]);
    vec![touch, directives, handover, shorter, longer]
}

/// The Lease is deleted, made again, or written to by a user who has no business there.
fn strange_hands() -> Vec<World> {
    let deletion =
        faulty("deletion", 2, &[Fault::Delete, Fault::RecreateBlank, Fault::RestoreFree, Fault::RestoreHeld]);
    let forgotten =
        long(faulty("deletion after a change", 3, &[Fault::Shorten, Fault::Delete, Fault::Replace]));
    let forgotten = World { paused: Some(0), ..forgotten };
    let emptied = World {
        faults: vec![Fault::Shorten, Fault::Clear, Fault::Delete, Fault::Replace],
        at_most: 4,
        ..forgotten.clone()
    };
    let emptied = World { name: "emptied and deleted after a change", ..emptied };
    let cleared = faulty("holder cleared", 1, &[Fault::Clear]);
    vec![deletion, forgotten, emptied, cleared]
}

/// Processes, containers and workloads that end, and what is said in their name.
fn deaths() -> Vec<World> {
    let crash = faulty("crash", 1, &[Fault::Crash, Fault::End, Fault::Drain]);
    let last_words = World { last_words: true, horizon: 4, ..faulty("last words", 1, &[Fault::Crash]) };
    let duplicates = World {
        one_pod: true,
        last_words: true,
        horizon: 4,
        ..faulty("containers of one pod", 1, &[Fault::Crash])
    };
    let hanging = World { horizon: 8, ..faulty("elector that cannot die", 1, &[Fault::Hang]) };
    let once = Policy { completion_policy: CompletionPolicy::OnSuccess, ..policy(3) };
    let rule = FailureRule { operator: Operator::In, values: vec![42], action: FailureAction::FailRun };
    let failure_policy = FailurePolicy { rules: vec![rule], ..FailurePolicy::default() };
    let fatal = World {
        policy: Policy { failure_policy, ..once.clone() },
        ..faulty("failure policy", 1, &[Fault::End])
    };
    let fatal =
        World { last_words: true, faults: vec![Fault::Crash, Fault::End], at_most: 2, horizon: 3, ..fatal };
    let charge = [Fault::Drain, Fault::Crash, Fault::FailPod, Fault::FailPod];
    let charged = World { policy: once.clone(), horizon: 3, ..faulty("failed pod", 3, &charge) };
    let strict = Policy { backoff_limit: 0, ..once.clone() };
    let spent = World {
        policy: strict,
        lazy: Vec::new(),
        horizon: 10,
        ..faulty("failed pod without attempts", 3, &charge)
    };
    let once = World { policy: once, ..faulty("completion", 1, &[Fault::End]) };
    let told = World {
        last_words: true,
        horizon: 4,
        ..faulty("told to stop", 3, &[Fault::Handover, Fault::End, Fault::Crash])
    };
    let told =
        World { policy: once.policy.clone(), stop_grace: Duration::from_secs(2), lazy: Vec::new(), ..told };
    let survived = [Fault::Handover, Fault::End, Fault::Undying, Fault::Crash];
    let survived = World {
        name: "told to stop beside a survivor",
        faults: survived.to_vec(),
        at_most: 4,
        horizon: 14,
        ..told.clone()
    };
    let survived_fatal = World {
        name: "failure policy beside a survivor",
        faults: vec![Fault::End, Fault::Undying],
        ..fatal.clone()
    };
    let survived_fatal = World { lazy: Vec::new(), horizon: 14, ..survived_fatal };
    let three = World {
        agents: 3,
        policy: Policy { candidates: 3, ..policy(3) },
        ..faulty("three candidates", 1, &[Fault::Crash])
    };
    let lost = World {
        last_words: true,
        lazy: vec![1],
        horizon: 7,
        policy: Policy { backoff_limit: 0, ..once.policy.clone() },
        ..once.clone()
    };
    let lost =
        World { name: "lost acquisition", faults: vec![Fault::Drain, Fault::Drain], at_most: 2, ..lost };
    let deaths = vec![
        crash,
        last_words,
        duplicates,
        hanging,
        once.clone(),
        fatal,
        charged,
        spent,
        three,
        lost,
        told,
        survived,
        survived_fatal,
    ];
    deaths.into_iter().chain(survivors(once)).collect()
}

/// Containers of which everything is killed at once, PID 1 too, and the next ones of the same pods.
fn locks() -> Vec<World> {
    let killed = [Fault::KillAll, Fault::KillAll];
    let pods = World { pod_locks: true, horizon: 3, ..faulty("everything killed", 2, &killed) };
    let duplicates = [Fault::KillAll, Fault::KillAll, Fault::Replace];
    let one_pod = World { one_pod: true, faults: duplicates.to_vec(), at_most: 3, ..pods.clone() };
    let one_pod = World { name: "everything killed in one pod", ..one_pod };
    let hanging = World { faults: vec![Fault::Hang, Fault::KillAll], lazy: Vec::new(), ..one_pod.clone() };
    let hanging =
        World { name: "everything killed beside an elector that cannot die", horizon: 9, ..hanging };
    // K, and what a standby leaves to others before it; also where the next container is killed meanwhile.
    let again = [Fault::KillAll, Fault::Replace];
    let again = World { faults: again.to_vec(), patience: Some(3), horizon: 12, ..pods.clone() };
    let again = World { name: "everything killed again", lazy: Vec::new(), ..again };
    // A Lease that names the dead once more, while another runs.
    let deleted = [Fault::KillAll, Fault::Delete, Fault::RestoreHeld];
    let deleted = World { faults: deleted.to_vec(), at_most: 3, lazy: vec![1], ..pods.clone() };
    let deleted = World { name: "everything killed, and the Lease deleted", ..deleted };
    vec![pods, one_pod, hanging, again, deleted]
}

/// Workloads that have ended, beside a process that survives its kill.
fn survivors(once: World) -> Vec<World> {
    let recorded = World { name: "outcome beside a survivor", at_most: 3, horizon: 5, ..once };
    let recorded = World { faults: vec![Fault::End, Fault::Undying, Fault::LosePut], ..recorded };
    let next = World { name: "next run after a survivor", lazy: Vec::new(), horizon: 14, ..recorded.clone() };
    let next = World { faults: vec![Fault::End, Fault::Undying, Fault::NextRun], ..next };
    let spoken =
        World { name: "outcome of the dead beside a survivor", last_words: true, ..recorded.clone() };
    let spoken = World { faults: vec![Fault::End, Fault::Undying, Fault::Crash], horizon: 4, ..spoken };
    let service = faulty("outcome of a service beside a survivor", 2, &[Fault::End, Fault::Undying]);
    let service = World { lazy: Vec::new(), patience: Some(11), horizon: 24, ..service };
    vec![recorded, next, spoken, service]
}

/// Holders that gave nothing back, and policies that ask for more than that their lease has passed.
fn unreachable() -> Vec<World> {
    let strict = |world: World| World {
        policy: Policy { unreachable_holder: UnreachableHolder::AfterPodGone, ..world.policy },
        ..world
    };
    let uncleared = strict(faulty("silent holder", 2, &[Fault::Vanish, Fault::Crash, Fault::Clearance]));
    let faults = [Fault::Crash, Fault::Clearance, Fault::Vanish];
    let another = World {
        last_words: true,
        lazy: Vec::new(),
        horizon: 10,
        ..strict(faulty("clearance of an earlier holder", 3, &faults))
    };
    let faults = [Fault::Vanish, Fault::Delete, Fault::RestoreCleared];
    let restored =
        World { lazy: Vec::new(), horizon: 9, ..strict(faulty("clearance from a copy", 3, &faults)) };
    let cleared =
        strict(faulty("emptied after a clearance", 3, &[Fault::Vanish, Fault::Clearance, Fault::Clear]));
    let delayed = faulty("delay after the lease", 1, &[Fault::Vanish, Fault::Touch]);
    let delayed = World { policy: Policy { delay_seconds: 1, ..policy(3) }, horizon: 9, ..delayed };
    vec![uncleared, another, restored, cleared, delayed]
}

/// All are prompt: it can be said that something must happen.
fn liveness() -> Vec<World> {
    let prompt = |world: World| World { lazy: Vec::new(), ..world };
    // L, then the head start of Q + 1 s, then the silence after which is read.
    let faults = [Fault::Crash, Fault::LosePut, Fault::LoseRead, Fault::Touch, Fault::Delete];
    let takeover = World { patience: Some(11), horizon: 24, ..prompt(faulty("takeover", 2, &faults)) };
    let flaps = [Fault::Vanish, Fault::LoseRead, Fault::LoseRead, Fault::LoseRead];
    let flaps = World { patience: Some(11), horizon: 14, ..prompt(faulty("flapping contact", 4, &flaps)) };
    let drain = World {
        horizon: 10,
        stop_grace: Duration::from_secs(2),
        ..prompt(faulty("drain", 2, &[Fault::Drain, Fault::Handover]))
    };
    let ready = [Fault::Ready, Fault::Ready, Fault::Touch, Fault::Drain, Fault::End];
    let ready =
        World { horizon: 8, stop_grace: Duration::from_secs(2), ..prompt(faulty("readiness", 3, &ready)) };
    // Reached by the first attempt, by one that took over, or by none.
    let limited = Policy {
        completion_policy: CompletionPolicy::OnSuccess,
        active_deadline_seconds: Some(5),
        ..policy(3)
    };
    let strict = Policy { unreachable_holder: UnreachableHolder::AfterPodGone, ..limited.clone() };
    let limited = World {
        policy: limited,
        horizon: 16,
        ..prompt(faulty("active deadline", 2, &[Fault::Crash, Fault::Drain]))
    };
    let faults = [Fault::Vanish, Fault::Crash, Fault::Clearance];
    let silent = World {
        policy: strict,
        horizon: 16,
        ..prompt(faulty("active deadline of a silent holder", 2, &faults))
    };
    let hanging = World {
        patience: Some(11),
        horizon: 14,
        ..prompt(faulty("elector that cannot die, all prompt", 1, &[Fault::Hang]))
    };
    let once = Policy { completion_policy: CompletionPolicy::OnSuccess, backoff_limit: 0, ..policy(3) };
    let cut_short = prompt(faulty("stop cut short", 2, &[Fault::Drain, Fault::Vanish]));
    let cut_short = World { policy: once, horizon: 12, stop_grace: Duration::from_secs(2), ..cut_short };
    let undying = World { horizon: 26, ..prompt(faulty("undying", 2, &[Fault::Drain, Fault::Undying])) };
    vec![takeover, flaps, drain, ready, limited, silent, hanging, cut_short, undying]
}
