//! x
pub mod apply; pub mod build; pub mod observe; pub mod plan; pub mod request; pub mod settings;
