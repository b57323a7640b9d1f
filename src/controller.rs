//! x
pub mod apply; pub mod build; pub mod observe; pub mod plan; pub mod report; pub mod request; pub mod settings;
