//! Refuses what a schedule cannot mean.

use kube::core::Rule;

use super::rule::rule;

/// A one-shot that became a scheduled job would run again, and a scheduled job that became a one-shot would
/// be done.
pub fn all() -> [Rule; 4] {
    [
        rule(
            "!has(self.schedule) || !self.schedule.cron.matches('(^|[ \\\\t,]),|,([ \\\\t]|$)')",
            ".schedule.cron",
            "use a value on each side of every comma: an empty list matches no time",
        ),
        rule(
            "!has(self.schedule) || self.completionPolicy != 'Never'",
            ".schedule",
            "leave schedule out, or write completionPolicy OnSuccess: with Never the workload runs without end",
        ),
        rule(
            "!has(self.schedule) || !has(self.ttlSecondsAfterFinished)",
            ".ttlSecondsAfterFinished",
            "leave ttlSecondsAfterFinished out: a schedule never finishes; podTTLSecondsAfterFinished removes the pods of its runs",
        ),
        rule(
            "has(self.schedule) == has(oldSelf.schedule)",
            ".schedule",
            "use another name, or delete this SingletonJob first: a schedule can be changed, but neither added nor taken away",
        ),
    ]
}

pub fn concurrency_policy() -> Rule {
    Rule::new("self != 'Allow'")
        .message("use Forbid, Replace or Enqueue: runs of a SingletonJob never overlap")
}
