//! Refuses what a service has no use for.

use kube::core::Rule;

use super::rule::rule;

/// What a service has no use for: it never fails, and never ends.
pub fn all() -> [Rule; 5] {
    [
        rule(
            "!has(self.backoffLimit) || self.completionPolicy != 'Never'",
            ".backoffLimit",
            "leave backoffLimit out: with completionPolicy Never the workload is restarted without limit",
        ),
        rule(
            "!has(self.podTTLSecondsAfterFinished) || self.completionPolicy != 'Never'",
            ".podTTLSecondsAfterFinished",
            "leave podTTLSecondsAfterFinished out: with completionPolicy Never the job never finishes",
        ),
        rule(
            "!has(self.ttlSecondsAfterFinished) || self.completionPolicy != 'Never'",
            ".ttlSecondsAfterFinished",
            "leave ttlSecondsAfterFinished out: with completionPolicy Never the job never finishes",
        ),
        rule(
            "!has(self.failurePolicy) || self.completionPolicy != 'Never'",
            ".failurePolicy",
            "leave failurePolicy out: with completionPolicy Never the workload is restarted after every exit",
        ),
        rule(
            "!has(self.activeDeadlineSeconds) || self.completionPolicy != 'Never'",
            ".activeDeadlineSeconds",
            "leave activeDeadlineSeconds out: with completionPolicy Never the workload runs without end",
        ),
    ]
}
