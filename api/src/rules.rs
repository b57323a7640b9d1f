//! What is refused at admission, and what each refusal tells the user to write instead.
//!
//! The rules run in the API server, in CEL. They know nothing but the object, so the names and the arithmetic
//! that other modules own are written out here once more; `tests/crd` holds both against each other on a
//! real API server.

use kube::core::{Message, Rule};

const ROOT: &str = "";
const SPEC: &str = "/properties/spec";
const COMPLETION_POLICY: &str = "/properties/spec/properties/completionPolicy";
const EXIT_CODES: &str =
    "/properties/spec/properties/failurePolicy/properties/rules/items/properties/onExitCodes";
const CONCURRENCY_POLICY: &str = "/properties/spec/properties/schedule/properties/concurrencyPolicy";
const LEASE: &str = "/properties/spec/properties/lease";
const TAKEOVER: &str = "/properties/spec/properties/takeover";
const MATCH_EXPRESSION: &str = "/properties/spec/properties/takeover/properties/preferredNodes/items/properties/preference\
                                /properties/matchExpressions/items";
const MATCH_FIELD: &str = "/properties/spec/properties/takeover/properties/preferredNodes/items/properties/preference\
                           /properties/matchFields/items";
const TEMPLATE_ANNOTATIONS: &str =
    "/properties/spec/properties/template/properties/metadata/properties/annotations";
const TEMPLATE_LABELS: &str = "/properties/spec/properties/template/properties/metadata/properties/labels";
const POD: &str = "/properties/spec/properties/template/properties/spec";

/// Name of the gated container, seen from the spec.
const WORKLOAD: &str =
    "(has(self.workloadContainer) ? self.workloadContainer : self.template.spec.containers[0].name)";
/// The `restartPolicy` that the completion policy implies, seen from the spec.
const RESTART_POLICY: &str = "(self.completionPolicy == 'Never' ? 'Always' : 'Never')";
const CONTAINERS: &str = ".template.spec.containers";

/// Each rule with the place in the schema where it stands.
pub(super) fn all() -> Vec<(&'static str, Rule)> {
    let mut rules =
        vec![(ROOT, name()), (COMPLETION_POLICY, completion_policy()), (EXIT_CODES, exit_codes())];
    rules.extend(of_spec().map(|rule| (SPEC, rule)));
    rules.extend(of_service().map(|rule| (SPEC, rule)));
    rules.extend(of_schedule().map(|rule| (SPEC, rule)));
    rules.extend(of_workload().map(|rule| (SPEC, rule)));
    rules.extend(of_pod().map(|rule| (POD, rule)));
    rules.extend(of_lease().map(|rule| (LEASE, rule)));
    rules.extend(of_interruptions().map(|rule| (SPEC, rule)));
    rules.extend([
        (TEMPLATE_ANNOTATIONS, of_another_domain("annotations")),
        (TEMPLATE_LABELS, of_another_domain("labels")),
        (CONCURRENCY_POLICY, concurrency_policy()),
        (TAKEOVER, failback()),
        (MATCH_EXPRESSION, match_expression()),
        (MATCH_FIELD, match_field()),
    ]);
    rules
}

fn rule(condition: impl Into<String>, field: &str, message: &str) -> Rule {
    Rule::new(condition).field_path(field).message(message)
}

/// A rule whose message is an expression.
fn telling(condition: impl Into<String>, field: &str, expression: impl Into<String>) -> Rule {
    Rule::new(condition).field_path(field).message(Message::Expression(expression.into()))
}

fn name() -> Rule {
    let message = "use a name of at most 52 characters: pods and labels are named after it";
    rule("size(self.metadata.name) <= 52", ".metadata.name", message)
}

fn completion_policy() -> Rule {
    Rule::new("self == oldSelf")
        .message("completionPolicy cannot be changed: delete this SingletonJob first, or use another name")
}

fn concurrency_policy() -> Rule {
    Rule::new("self != 'Allow'")
        .message("use Forbid, Replace or Enqueue: runs of a SingletonJob never overlap")
}

fn of_another_domain(what: &str) -> Rule {
    let message = format!(
        "use {what} of another domain: those under singletonjob.dev/ are the operator's, which sets them on every pod"
    );
    Rule::new("!self.exists(key, key.startsWith('singletonjob.dev/'))").message(Message::Message(message))
}

fn exit_codes() -> Rule {
    let message =
        "leave 0 out of values, or use operator NotIn: exit code 0 is success, and no rule is asked about it";
    rule("self.operator != 'In' || !(0 in self.values)", ".values", message)
}

fn of_spec() -> [Rule; 4] {
    [
        rule(
            "!has(self.workloadContainer) || self.template.spec.containers.exists(c, c.name == self.workloadContainer)",
            ".workloadContainer",
            "use the name of a container of the template, or leave workloadContainer out: then it is the first",
        ),
        rule(
            "has(self.managedBy) == has(oldSelf.managedBy) && (!has(self.managedBy) || self.managedBy == oldSelf.managedBy)",
            ".managedBy",
            "managedBy cannot be changed: delete this SingletonJob first, or use another name",
        ),
        telling(
            format!(
                "!has(self.template.spec.restartPolicy) || self.template.spec.restartPolicy == {RESTART_POLICY}"
            ),
            ".template.spec.restartPolicy",
            format!(
                "'leave restartPolicy out or write ' + {RESTART_POLICY} + ': it follows from completionPolicy ' + self.completionPolicy"
            ),
        ),
        telling(
            "!has(self.template.spec.activeDeadlineSeconds)",
            ".template.spec.activeDeadlineSeconds",
            "self.completionPolicy == 'Never' ? 'leave it out: a service has no deadline' : 'use spec.activeDeadlineSeconds'",
        ),
    ]
}

/// What a service has no use for: it never fails, and never ends.
fn of_service() -> [Rule; 5] {
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

/// A one-shot that became a scheduled job would run again, and a scheduled job that became a one-shot would
/// be done.
fn of_schedule() -> [Rule; 4] {
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

fn of_workload() -> [Rule; 5] {
    [
        telling(
            of_gated("has(c.command) && size(c.command) > 0"),
            CONTAINERS,
            format!(
                "'container ' + {WORKLOAD} + ' needs a command, because the entrypoint of its image is not known here; \
                 copy the ENTRYPOINT of the image into command and its CMD into args'"
            ),
        ),
        rule(
            of_gated("!has(c.restartPolicy) && !has(c.restartPolicyRules)"),
            CONTAINERS,
            "leave restartPolicy and restartPolicyRules out of the workload's container: completionPolicy says what follows an exit",
        ),
        rule(
            of_gated(&["liveness", "readiness", "startup"].map(has_handler).join(" && ")),
            CONTAINERS,
            "use exec, httpGet, tcpSocket or grpc in each probe of the workload's container: one without a handler asks nothing",
        ),
        rule(
            of_gated("!c.?lifecycle.postStart.hasValue()"),
            CONTAINERS,
            "leave lifecycle.postStart out of the workload's container, where it would run on standbys too: do it at the start of command",
        ),
        rule(
            of_gated(&format!(
                "!has(c.volumeMounts) || c.volumeMounts.all(m, !({}))",
                is_ours("m.mountPath")
            )),
            CONTAINERS,
            "mount volumes elsewhere: /singletonjob, /var/run/singletonjob and /var/run/secrets/singletonjob.dev are the operator's \
             in the workload's container",
        ),
    ]
}

/// Asked through the agent, a probe that asks nothing would always succeed.
fn has_handler(kind: &str) -> String {
    let handlers =
        ["exec", "httpGet", "tcpSocket", "grpc"].map(|handler| format!("has(c.{kind}Probe.{handler})"));
    format!("(!has(c.{kind}Probe) || {})", handlers.join(" || "))
}

/// That `condition` holds for the gated container `c`.
fn of_gated(condition: &str) -> String {
    format!("self.template.spec.containers.all(c, c.name != {WORKLOAD} || ({condition}))")
}

/// Comparisons, for a regular expression over paths would exceed what the API server lets a rule cost.
fn is_ours(path: &str) -> String {
    let ours = ["/singletonjob", "/var/run/singletonjob", "/var/run/secrets/singletonjob.dev"];
    ours.map(|ours| format!("{path} == '{ours}' || {path}.startsWith('{ours}/')")).join(" || ")
}

fn of_pod() -> [Rule; 6] {
    [
        rule(
            "!has(self.hostPID) || !self.hostPID",
            ".hostPID",
            "leave hostPID out: a PID namespace of its own is what makes sure that the workload can be killed",
        ),
        rule(
            "!has(self.shareProcessNamespace) || !self.shareProcessNamespace",
            ".shareProcessNamespace",
            "leave shareProcessNamespace out: a PID namespace of its own is what makes sure that the workload can be killed",
        ),
        rule(
            "self.?os.name.orValue('linux') == 'linux'",
            ".os",
            "leave os out or write linux: candidates run on Linux",
        ),
        rule(
            "!has(self.volumes) || self.volumes.all(v, !(v.name in ['singletonjob-agent', 'singletonjob-credentials', 'singletonjob-state']))",
            ".volumes",
            "use other names: the volumes singletonjob-agent, singletonjob-credentials and singletonjob-state are the operator's",
        ),
        rule(
            "self.containers.all(c, c.name != 'singletonjob-agent')",
            ".containers",
            "use another name: the container singletonjob-agent is the operator's",
        ),
        rule(
            "!has(self.initContainers) || self.initContainers.all(c, c.name != 'singletonjob-agent')",
            ".initContainers",
            "use another name: the container singletonjob-agent is the operator's",
        ),
    ]
}

/// The arithmetic of `lease/timing.rs` in whole milliseconds.
fn of_lease() -> [Rule; 3] {
    [renew_deadline(), grace_period(), retry_period()]
}

/// `D`: five sixths of the lease, less the kill margin.
const HARD: &str =
    "[self.leaseDurationSeconds].map(l, l * 5000 / 6 - (l < 5 ? 500 : (l > 20 ? 2000 : l * 100)))[0]";

/// `S`, derived where it is left out: what `G` leaves of `D`.
fn renew() -> String {
    format!(
        "[{HARD}].map(d, has(self.renewDeadlineSeconds) ? self.renewDeadlineSeconds * 1000 : \
         d - (has(self.gracePeriodSeconds) ? self.gracePeriodSeconds * 1000 : (self.leaseDurationSeconds < 6 ? 0 : d / 5)))[0]"
    )
}

/// Milliseconds as two numbers, for `%d.%d`: seconds and tenths.
fn tenths(milliseconds: &str) -> String {
    format!("{milliseconds} / 1000, {milliseconds} % 1000 / 100")
}

/// The smallest lease whose `D` is at least `stop` seconds: the inverse of [`HARD`], piece by piece, rounded
/// up.
fn smallest_lease(stop: &str) -> String {
    format!("[{stop}].map(s, s <= 2 ? 3 : (s <= 14 ? (s * 15 + 10) / 11 : (s * 6 + 16) / 5))[0]")
}

fn renew_deadline() -> Rule {
    let (alone, both) = ("self.renewDeadlineSeconds", "self.renewDeadlineSeconds, self.gracePeriodSeconds");
    let stop = "self.renewDeadlineSeconds + (has(self.gracePeriodSeconds) ? self.gracePeriodSeconds : 0)";
    let rest = "not fit into leaseDurationSeconds %d (at most %d.%d s); use leaseDurationSeconds %d or more";
    let values = format!("self.leaseDurationSeconds, {}, {}", tenths(HARD), smallest_lease(stop));
    let message = format!(
        "has(self.gracePeriodSeconds) ? 'renewDeadlineSeconds %d + gracePeriodSeconds %d do {rest}'.format([{both}, {values}]) : \
         'renewDeadlineSeconds %d does {rest}'.format([{alone}, {values}])"
    );
    telling(
        format!("!has(self.renewDeadlineSeconds) || ({stop}) * 1000 <= {HARD}"),
        ".renewDeadlineSeconds",
        message,
    )
}

fn grace_period() -> Rule {
    let message = format!(
        "'gracePeriodSeconds %d leaves no time to renew within leaseDurationSeconds %d; use leaseDurationSeconds %d or more'\
         .format([self.gracePeriodSeconds, self.leaseDurationSeconds, {}])",
        smallest_lease("self.gracePeriodSeconds + 1"),
    );
    let condition = format!(
        "has(self.renewDeadlineSeconds) || !has(self.gracePeriodSeconds) || self.gracePeriodSeconds * 1000 < {HARD}"
    );
    telling(condition, ".gracePeriodSeconds", message)
}

/// Silent where there is no time to renew at all: [`grace_period`] says that better.
fn retry_period() -> Rule {
    let renew = renew();
    let too_much = "retryPeriodSeconds %d is more than a third of renewDeadlineSeconds %d.%d";
    let values = format!("self.retryPeriodSeconds, {}", tenths(&renew));
    let message = format!(
        "{renew} < 3000 ? '{too_much}; leave it out'.format([{values}]) : \
         '{too_much}; use %d or less'.format([{values}, {renew} / 3000])"
    );
    let condition = format!(
        "!has(self.retryPeriodSeconds) || [{renew}].all(s, s <= 0 || self.retryPeriodSeconds * 3000 <= s)"
    );
    telling(condition, ".retryPeriodSeconds", message)
}

/// A running attempt of a one-shot may have done much of its work.
fn of_interruptions() -> [Rule; 2] {
    let interrupts = "self.completionPolicy == 'Never' || self.takeover";
    [
        rule(
            format!("{interrupts}.failback == 'Never'"),
            ".takeover.failback",
            "leave failback out or write Never: with completionPolicy OnSuccess a running attempt is not interrupted for a better node",
        ),
        rule(
            format!("{interrupts}.unreadyHolder.policy == 'Keep'"),
            ".takeover.unreadyHolder.policy",
            "leave policy out or write Keep: with completionPolicy OnSuccess a running attempt is not interrupted for not being ready",
        ),
    ]
}

fn failback() -> Rule {
    rule(
        "self.failback == 'Never' || (has(self.preferredNodes) && size(self.preferredNodes) > 0)",
        ".failback",
        "leave failback out or write Never: there are no preferredNodes to go back to",
    )
}

/// Numbers have at most 18 digits, so that all of them can be compared.
fn match_expression() -> Rule {
    telling(
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : (self.operator in ['Gt', 'Lt'] ? \
         has(self.values) && size(self.values) == 1 && self.values[0].matches('^-?[0-9]{1,18}$') : \
         !has(self.values) || size(self.values) == 0)",
        ".values",
        "self.operator in ['In', 'NotIn'] ? 'use at least one value with operator ' + self.operator : \
         (self.operator in ['Gt', 'Lt'] ? 'use one value, a whole number in quotes, with operator ' + self.operator : \
         'leave values out with operator ' + self.operator)",
    )
}

fn match_field() -> Rule {
    Rule::new("self.key == 'metadata.name' && self.operator in ['In', 'NotIn'] && has(self.values) && size(self.values) > 0")
        .message("use key metadata.name, operator In or NotIn, and at least one value: nodes are known by no other field here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_message_that_says_what_to_do() {
        for (place, rule) in all() {
            let message = match rule.message.expect("a message") {
                Message::Message(text) | Message::Expression(text) => text,
            };
            let advises =
                ["use ", "leave ", "delete ", "copy ", "mount "].iter().any(|verb| message.contains(verb));
            assert!(advises, "{place}: {message}");
        }
    }
}
