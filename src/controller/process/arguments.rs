//! Reads the flags and environment of the controller, and reports invalid ones.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::contract::usage::first_paragraph;
use crate::contract::{self, exit_codes};
use crate::controller::settings::Agent;
use crate::telemetry::{LogFormat, LogLevel};

/// Reconciles SingletonJobs.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = contract::CONTROLLER, version)]
pub struct Arguments {
    /// Image with the agent; the controller's own when left out.
    #[arg(long, env = "AGENT_IMAGE", value_parser = image)]
    pub agent_image: Option<String>,
    /// imagePullPolicy of the agent's image.
    #[arg(long, env = "AGENT_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub agent_image_pull_policy: Option<String>,
    /// Names of image pull secrets, separated by commas, added to candidate pods.
    #[arg(long, env = "AGENT_IMAGE_PULL_SECRETS", value_delimiter = ',', value_parser = secret)]
    pub agent_image_pull_secrets: Vec<String>,
    /// What the init container that installs the agent asks for, as JSON; what the gated container asks for
    /// when left out.
    #[arg(long, env = "AGENT_INSTALLER_RESOURCES", default_value = "", value_parser = resources)]
    pub agent_installer_resources: PartOfAPod<ResourceRequirements>,
    /// The securityContext of that init container, as JSON; what the restricted Pod Security Standard asks
    /// when left out.
    #[arg(long, env = "AGENT_INSTALLER_SECURITY_CONTEXT", default_value = "", value_parser = security_context)]
    pub agent_installer_security_context: PartOfAPod<SecurityContext>,
    /// Name of this pod.
    #[arg(long, env = "POD_NAME", value_parser = pod_name)]
    pub pod_name: String,
    /// Namespace of this pod, and of the Lease by which replicas are elected.
    #[arg(long, env = "POD_NAMESPACE", value_parser = pod_namespace)]
    pub pod_namespace: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080", value_parser = listen_address)]
    pub listen_address: SocketAddr,
    /// error, warn, info, debug, trace or off.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// json or text.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// Something of a pod's spec. `None` if the arguments leave it out.
#[derive(Clone, Debug)]
pub struct PartOfAPod<T>(Option<T>);

impl Arguments {
    /// Where the agent comes from. The image is empty if the arguments name none.
    pub fn agent(&self) -> Agent {
        let secrets = self.agent_image_pull_secrets.iter().filter(|name| !name.is_empty());
        Agent {
            image: self.agent_image.clone().unwrap_or_default(),
            pull_policy: self.agent_image_pull_policy.clone(),
            pull_secrets: secrets.cloned().collect(),
            installer_resources: self.agent_installer_resources.0.clone(),
            installer_security_context: self.agent_installer_security_context.0.clone(),
        }
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "use ADDRESS:PORT, for example 0.0.0.0:8080")
}

fn image(text: &str) -> Result<String, &'static str> {
    let fits = !text.contains(char::is_whitespace);
    fits.then(|| text.to_owned())
        .ok_or("use a reference to an image, for example registry.example/singletonjob:0.1.0")
}

fn secret(text: &str) -> Result<String, &'static str> {
    let fits = text.is_empty() || is_name(text);
    fits.then(|| text.to_owned()).ok_or("use names of Secrets, separated by commas and nothing else")
}

fn resources(text: &str) -> Result<PartOfAPod<ResourceRequirements>, &'static str> {
    part_of_a_pod(text).ok_or(r#"use JSON, as in a container, for example {"limits":{"memory":"32Mi"}}"#)
}

fn security_context(text: &str) -> Result<PartOfAPod<SecurityContext>, &'static str> {
    part_of_a_pod(text)
        .ok_or(r#"use JSON, as in a container, for example {"runAsNonRoot":true,"runAsUser":65532}"#)
}

/// Decodes `text`; an empty one counts as left out. `None` if it is no JSON of that type, or has a field that
/// the type has not.
fn part_of_a_pod<T: DeserializeOwned + Serialize>(text: &str) -> Option<PartOfAPod<T>> {
    if text.is_empty() {
        return Some(PartOfAPod(None));
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let part: T = serde_json::from_value(value.clone()).ok()?;
    let is_known = has_all_fields(&serde_json::to_value(&part).ok()?, &value);
    is_known.then_some(PartOfAPod(Some(part)))
}

/// Whether `of` has all `fields`, at any depth. Their values do not matter, because numbers may have become
/// texts, as quantities do.
fn has_all_fields(of: &Value, fields: &Value) -> bool {
    let has = |(name, field): (&String, &Value)| of.get(name).is_some_and(|of| has_all_fields(of, field));
    fields.as_object().is_none_or(|fields| fields.iter().all(has))
}

fn pod_name(text: &str) -> Result<String, &'static str> {
    is_name(text).then(|| text.to_owned()).ok_or("use the pod's metadata.name, through the downward API")
}

fn pod_namespace(text: &str) -> Result<String, &'static str> {
    is_name(text).then(|| text.to_owned()).ok_or("use the pod's metadata.namespace, through the downward API")
}

/// Whether Kubernetes can have an object of that name.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends =
        text.bytes().next().zip(text.bytes().last()).is_some_and(|(first, last)| inner(first) && inner(last));
    ends && text.len() <= 253 && text.bytes().all(|byte| inner(byte) || byte == b'-' || byte == b'.')
}

/// Says in one line what is wrong with the arguments. A request for help or the version is no error.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    eprintln!("{}: {}", contract::CONTROLLER, usage_error(error));
    ExitCode::from(u8::try_from(exit_codes::USAGE).unwrap_or(1))
}

/// The message about wrong arguments: what is wrong, and what to write instead.
fn usage_error(error: &clap::Error) -> String {
    let subjects = strings(error, ContextKind::InvalidArg);
    let subject = subjects.first().map(|subject| variable(subject)).unwrap_or_default();
    let value = strings(error, ContextKind::InvalidValue).pop().unwrap_or_default();
    let remedy = || std::error::Error::source(error).map_or_else(|| valid_values(error), ToString::to_string);
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => format!("{subject} {value:?}: {}", remedy()),
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<_> = subjects.iter().map(|subject| variable(subject)).collect();
            format!(
                "{} must be set, through the downward API; the Deployment in manifests/ shows how",
                missing.join(" and ")
            )
        }
        ErrorKind::UnknownArgument => format!("there is no flag {subject}; see --help"),
        _ => first_paragraph(&error.to_string()),
    }
}

/// The environment variable of a flag, which is what a Deployment sets.
fn variable(subject: &str) -> String {
    subject
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or(subject, |(name, _)| name)
        .to_owned()
}

fn valid_values(error: &clap::Error) -> String {
    let mut values = strings(error, ContextKind::ValidValue);
    let last = values.pop().unwrap_or_default();
    if values.is_empty() { format!("use {last}") } else { format!("use {} or {last}", values.join(", ")) }
}

fn strings(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const NAMED: [&str; 3] = ["singletonjob-controller", "--pod-name=a-1", "--pod-namespace=system"];

    fn complaint_about(arguments: &[&str]) -> String {
        usage_error(&Arguments::try_parse_from(NAMED.iter().chain(arguments)).expect_err("wrong on purpose"))
    }

    #[test]
    fn a_value_of_no_use_is_answered_with_what_to_write_instead() {
        let table = [
            (
                "--agent-image=a b",
                r#"AGENT_IMAGE "a b": use a reference to an image, for example registry.example/singletonjob:0.1.0"#,
            ),
            (
                "--agent-image-pull-policy=Sometimes",
                r#"AGENT_IMAGE_PULL_POLICY "Sometimes": use Always, IfNotPresent or Never"#,
            ),
            (
                "--agent-image-pull-secrets=a; b",
                r#"AGENT_IMAGE_PULL_SECRETS "a; b": use names of Secrets, separated by commas and nothing else"#,
            ),
            (
                r#"--agent-installer-resources={"limit":{}}"#,
                r#"AGENT_INSTALLER_RESOURCES "{\"limit\":{}}": use JSON, as in a container, for example {"limits":{"memory":"32Mi"}}"#,
            ),
            (
                "--agent-installer-security-context=runAsUser: 7",
                r#"AGENT_INSTALLER_SECURITY_CONTEXT "runAsUser: 7": use JSON, as in a container, for example {"runAsNonRoot":true,"runAsUser":65532}"#,
            ),
            ("--listen-address=foo", r#"LISTEN_ADDRESS "foo": use ADDRESS:PORT, for example 0.0.0.0:8080"#),
            ("--listen-address=", r#"LISTEN_ADDRESS "": use ADDRESS:PORT, for example 0.0.0.0:8080"#),
            ("--log-level=loud", r#"LOG_LEVEL "loud": use error, warn, info, debug, trace or off"#),
            ("--log-format=xml", r#"LOG_FORMAT "xml": use json or text"#),
            ("--frobnicate", "there is no flag --frobnicate; see --help"),
        ];
        for (argument, answer) in table {
            assert_eq!(complaint_about(&[argument]), answer);
        }
    }

    #[test]
    fn a_pod_that_does_not_say_who_it_is_is_told_how() {
        let complaint = |arguments: &[&str]| {
            let all = ["singletonjob-controller"].iter().chain(arguments);
            super::usage_error(&Arguments::try_parse_from(all).expect_err("wrong on purpose"))
        };
        assert_eq!(
            complaint(&[]),
            "POD_NAME and POD_NAMESPACE must be set, through the downward API; the Deployment in manifests/ shows how"
        );
        assert_eq!(
            complaint(&["--pod-name=", "--pod-namespace=system"]),
            r#"POD_NAME "": use the pod's metadata.name, through the downward API"#
        );
        assert_eq!(
            complaint(&["--pod-name=a-1", "--pod-namespace=My_Own"]),
            r#"POD_NAMESPACE "My_Own": use the pod's metadata.namespace, through the downward API"#
        );
    }

    #[test]
    fn the_installer_is_as_the_operator_wants_it() {
        let told = [
            r#"--agent-installer-resources={"limits":{"cpu":1,"memory":"32Mi"}}"#,
            r#"--agent-installer-security-context={"runAsUser":7}"#,
        ];
        let agent = Arguments::try_parse_from(NAMED.iter().chain(&told)).expect("fine").agent();
        assert_eq!(agent.installer_security_context.and_then(|context| context.run_as_user), Some(7));
        assert!(agent.installer_resources.is_some_and(|resources| resources.limits.is_some()));
    }

    #[test]
    fn what_is_left_empty_is_as_good_as_left_out() {
        let arguments = Arguments::try_parse_from(
            NAMED.iter().chain(&["--agent-image=", "--agent-image-pull-secrets=a,,b"]),
        );
        let agent = arguments.expect("fine").agent();
        assert_eq!(
            (&*agent.image, agent.pull_policy, agent.pull_secrets),
            ("", None, vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!((agent.installer_resources, agent.installer_security_context), (None, None));
    }
}
