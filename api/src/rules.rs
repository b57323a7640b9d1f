//! What is refused at admission, and what each refusal tells the user to write instead.
//!
//! The rules run in the API server, in CEL. They know nothing but the object, so the names and the arithmetic
//! that other modules own are written out here once more; `tests/crd` holds both against each other on a
//! real API server.
//!
//! # Layout
//! Each module has the rules about one part of the spec, and `rule` writes them. What the spec says of itself
//! is here.

mod lease;
mod pod;
mod rule;
mod schedule;
mod service;
mod takeover;
mod workload;

use kube::core::{Message, Rule};

use rule::{rule, telling};

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

/// The `restartPolicy` that the completion policy implies, seen from the spec.
const RESTART_POLICY: &str = "(self.completionPolicy == 'Never' ? 'Always' : 'Never')";

/// Each rule with the place in the schema where it stands.
pub(super) fn all() -> Vec<(&'static str, Rule)> {
    let mut rules =
        vec![(ROOT, name()), (COMPLETION_POLICY, completion_policy()), (EXIT_CODES, exit_codes())];
    rules.extend(of_spec().map(|rule| (SPEC, rule)));
    rules.extend(service::all().map(|rule| (SPEC, rule)));
    rules.extend(schedule::all().map(|rule| (SPEC, rule)));
    rules.extend(workload::all().map(|rule| (SPEC, rule)));
    rules.extend(pod::all().map(|rule| (POD, rule)));
    rules.extend(lease::all().map(|rule| (LEASE, rule)));
    rules.extend(takeover::interruptions().map(|rule| (SPEC, rule)));
    rules.extend([
        (TEMPLATE_ANNOTATIONS, of_another_domain("annotations")),
        (TEMPLATE_LABELS, of_another_domain("labels")),
        (CONCURRENCY_POLICY, schedule::concurrency_policy()),
        (TAKEOVER, takeover::failback()),
        (MATCH_EXPRESSION, takeover::match_expression()),
        (MATCH_FIELD, takeover::match_field()),
    ]);
    rules
}

fn name() -> Rule {
    let message = "use a name of at most 52 characters: pods and labels are named after it";
    rule("size(self.metadata.name) <= 52", ".metadata.name", message)
}

fn completion_policy() -> Rule {
    Rule::new("self == oldSelf")
        .message("completionPolicy cannot be changed: delete this SingletonJob first, or use another name")
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
