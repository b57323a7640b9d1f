//! Writes a rule with the field that it blames and the message that the user gets.

use kube::core::{Message, Rule};

/// A rule whose message is `message` as it stands.
pub fn rule(condition: impl Into<String>, field: &str, message: &str) -> Rule {
    Rule::new(condition).field_path(field).message(message)
}

/// A rule whose message is an expression.
pub fn telling(condition: impl Into<String>, field: &str, expression: impl Into<String>) -> Rule {
    Rule::new(condition).field_path(field).message(Message::Expression(expression.into()))
}
