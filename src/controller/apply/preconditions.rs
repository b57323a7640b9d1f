//! Requests about exactly the object that the controller read, and about no later one of its name.

use std::fmt::Debug;

use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use serde::de::DeserializeOwned;

use crate::controller::api_call::{Failure, with_deadline};

/// Deletes nothing but exactly this object.
pub(super) async fn delete<K>(
    api: &Api<K>,
    act: &str,
    name: &str,
    exactly: Preconditions,
) -> Result<(), Failure>
where
    K: Clone + Debug + DeserializeOwned,
{
    let params = DeleteParams::default().preconditions(exactly);
    tolerate_absence(with_deadline(act, name, api.delete(name, &params)).await.map(drop))
}

/// Succeeds for an object that is gone, has changed, or is another one of its name, because what the plan
/// wanted no longer applies to it.
pub(super) fn tolerate_absence(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        result => result,
    }
}
