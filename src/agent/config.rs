//! Reads what the pod tells the agent: names, and constants of the pod. Everything that may change is in the
//! Lease.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::contract::{environment, paths};
use crate::lease::elector::Candidate;
use crate::lease::identity::Identity;

/// The default of Kubernetes.
const DEFAULT_TERMINATION_GRACE_PERIOD: Duration = Duration::from_secs(30);
/// The part of the pod's termination grace period that is kept for killing, releasing and exiting.
const RESERVE: Duration = Duration::from_secs(2);

/// The file in which the kernel names what its clocks count.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The environment of the gated container, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the SingletonJob and its Lease.
    pub name: String,
    /// The uid of the SingletonJob.
    pub job_uid: String,
    /// The name of this pod.
    pub pod_name: String,
    /// The uid of this pod.
    pub pod_uid: String,
    /// The time from SIGTERM to SIGKILL of the whole pod.
    pub termination_grace_period: Duration,
    /// The file in which the agent explains an end of its own making.
    pub termination_message: PathBuf,
    /// The directory in which the workload reads about its lease.
    pub state_directory: PathBuf,
    /// The file of the pod's lock. `None` if the pod has no such lock.
    pub pod_lock: Option<PathBuf>,
}

/// A variable that the agent cannot work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The controller sets it in every pod that it makes.
    #[error("{0} is not set; the agent runs in pods that the SingletonJob controller made")]
    Missing(&'static str),
    /// The value is not what it should be.
    #[error("{name} is {value:?}; it must be {wanted}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: OsString,
        /// What its value must be.
        wanted: &'static str,
    },
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// The first variable that is missing or wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let required =
            |name| text(&lookup, name)?.filter(|value| !value.is_empty()).ok_or(Error::Missing(name));
        Ok(Self {
            namespace: required(environment::NAMESPACE)?,
            name: required(environment::NAME)?,
            job_uid: required(environment::JOB_UID)?,
            pod_name: required(environment::POD_NAME)?,
            pod_uid: required(environment::POD_UID)?,
            termination_grace_period: grace_period(&lookup)?,
            termination_message: termination_message(&lookup),
            state_directory: PathBuf::from(paths::STATE_DIRECTORY),
            pod_lock: lookup(environment::POD_LOCK).map(PathBuf::from),
        })
    }

    /// The candidate that this process is. Every process is another one, even in the same pod.
    pub fn candidate(&self) -> Candidate {
        let identity = Identity::new(&self.pod_name, &self.pod_uid, fastrand::u64(..));
        let stop_grace = self.termination_grace_period.saturating_sub(RESERVE);
        Candidate {
            clock_source: clock_source(),
            ..Candidate::new(identity, self.job_uid.clone(), stop_grace)
        }
    }

    /// The file in which the workload reads about its lease.
    pub fn lease_file(&self) -> PathBuf {
        lease_file_in(&self.state_directory)
    }

    /// The files that the agent and the probes of an earlier container of this pod have left. They describe a
    /// workload that runs no more.
    pub(super) fn leftovers(&self) -> [PathBuf; 4] {
        let of_probes = |name| self.state_directory.join(name);
        [self.lease_file(), of_probes(UNHEALTHY_MARK), of_probes(STARTUP_MARK), of_probes(READINESS_COUNT)]
    }
}

/// [`Config::lease_file`] in any state directory.
pub(super) fn lease_file_in(state_directory: &Path) -> PathBuf {
    state_directory.join(Path::new(paths::LEASE_FILE).file_name().unwrap_or_default())
}

/// The file of the state directory in which the liveness probe counts its failures.
pub(super) const UNHEALTHY_MARK: &str = "unhealthy";
/// The file of the state directory that names the start which the startup probe has seen to come up.
pub(super) const STARTUP_MARK: &str = "up";
/// The file of the state directory in which the readiness probe counts.
pub(super) const READINESS_COUNT: &str = "readiness";

/// [`Config::termination_message`], even if the rest of the environment is wrong.
pub(super) fn termination_message(lookup: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    lookup(environment::TERMINATION_MESSAGE_PATH).unwrap_or_else(|| paths::TERMINATION_MESSAGE.into()).into()
}

/// The kernel's name for what its clocks count, such as `tsc` or `kvm-clock`: it decides which pauses of a
/// virtual machine they leave out. `None` if the kernel does not say.
fn clock_source() -> Option<String> {
    let name = fs::read_to_string(CLOCK_SOURCE).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn text(lookup: impl Fn(&str) -> Option<OsString>, name: &'static str) -> Result<Option<String>, Error> {
    let invalid = |value| Error::Invalid { name, value, wanted: "UTF-8" };
    lookup(name).map(|value| value.into_string().map_err(invalid)).transpose()
}

fn grace_period(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Duration, Error> {
    let name = environment::TERMINATION_GRACE_PERIOD_SECONDS;
    let Some(value) = text(lookup, name)? else { return Ok(DEFAULT_TERMINATION_GRACE_PERIOD) };
    let invalid =
        |_| Error::Invalid { name, value: value.clone().into(), wanted: "a whole number of seconds" };
    value.parse::<u32>().map(|seconds| Duration::from_secs(u64::from(seconds))).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<OsString> {
        let value = match name {
            environment::NAMESPACE => "billing",
            environment::NAME => "nightly-rollup",
            environment::JOB_UID => "11",
            environment::POD_NAME => "nightly-rollup-3",
            environment::POD_UID => "22",
            environment::TERMINATION_GRACE_PERIOD_SECONDS => "40",
            _ => return None,
        };
        Some(value.into())
    }

    #[test]
    fn the_workload_has_the_pods_grace_period_less_two_seconds_to_stop() {
        let config = Config::read(lookup).expect("complete");
        assert_eq!(config.candidate().stop_grace, Duration::from_secs(38));
        assert_eq!(config.termination_message, Path::new(paths::TERMINATION_MESSAGE));
        assert_eq!(config.lease_file(), Path::new(paths::LEASE_FILE));
    }

    #[test]
    fn all_that_probes_and_agent_remember_is_left_over_for_the_next_container() {
        let config = Config { state_directory: "/state".into(), ..Config::read(lookup).expect("complete") };
        assert_eq!(
            config.leftovers(),
            ["lease.json", "unhealthy", "up", "readiness"].map(|name| Path::new("/state").join(name))
        );
    }

    #[test]
    fn two_processes_of_one_pod_are_two_candidates() {
        let config = Config::read(lookup).expect("complete");
        assert_ne!(config.candidate().identity, config.candidate().identity);
        assert_eq!(config.candidate().identity.pod_uid(), Some("22"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let without =
            |missing: &'static str| move |name: &str| if name == missing { None } else { lookup(name) };
        assert_eq!(Config::read(without(environment::POD_UID)), Err(Error::Missing(environment::POD_UID)));
        let wrong = |name: &str| {
            if name == environment::TERMINATION_GRACE_PERIOD_SECONDS {
                Some("30s".into())
            } else {
                lookup(name)
            }
        };
        assert_eq!(
            Config::read(wrong).expect_err("30s").to_string(),
            r#"SINGLETONJOB_TERMINATION_GRACE_PERIOD_SECONDS is "30s"; it must be a whole number of seconds"#
        );
    }

    #[test]
    fn the_clock_source_is_one_word_wherever_the_kernel_names_one() {
        assert_eq!(clock_source().is_some(), fs::exists(CLOCK_SOURCE).expect("/sys can be looked at"));
        assert!(
            clock_source().is_none_or(|name| !name.is_empty() && !name.contains(char::is_whitespace)),
            "{:?}",
            clock_source()
        );
    }
}
