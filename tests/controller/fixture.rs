//! The shared fixture as this test has it: each module adds what it alone needs.

use std::ops::{Deref, DerefMut};

use testkit::fixture;

/// An API server with the definition, a namespace, and a running controller.
pub struct Fixture(fixture::Fixture);

impl Fixture {
    /// On the API server that tests share.
    pub async fn new(namespace: &'static str) -> Self {
        Self(fixture::Fixture::new(namespace).await)
    }

    /// On an API server of its own.
    pub async fn alone(namespace: &'static str) -> Self {
        Self(fixture::Fixture::alone(namespace).await)
    }
}

impl Deref for Fixture {
    type Target = fixture::Fixture;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Fixture {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
