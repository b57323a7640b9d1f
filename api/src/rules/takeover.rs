//! Refuses a takeover policy that interrupts what it may not, or that chooses no node.

use kube::core::Rule;

use super::rule::{rule, telling};

/// A running attempt of a one-shot may have done much of its work.
pub fn interruptions() -> [Rule; 2] {
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

pub fn failback() -> Rule {
    rule(
        "self.failback == 'Never' || (has(self.preferredNodes) && size(self.preferredNodes) > 0)",
        ".failback",
        "leave failback out or write Never: there are no preferredNodes to go back to",
    )
}

/// Numbers have at most 18 digits, so that all of them can be compared.
pub fn match_expression() -> Rule {
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

pub fn match_field() -> Rule {
    Rule::new("self.key == 'metadata.name' && self.operator in ['In', 'NotIn'] && has(self.values) && size(self.values) > 0")
        .message("use key metadata.name, operator In or NotIn, and at least one value: nodes are known by no other field here")
}
