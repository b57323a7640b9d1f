//! The JSON form of an annotation: how one is written, and what may be left out of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Sets or removes one annotation.
///
/// # Panics
/// Never: annotations are plain data, which always has a JSON form.
pub fn write<T: Serialize>(annotations: &mut BTreeMap<String, String>, key: &str, value: Option<&T>) {
    match value.map(|value| serde_json::to_string(value).expect("annotations are plain data")) {
        Some(text) => annotations.insert(key.to_owned(), text),
        None => annotations.remove(key),
    };
}

/// Sets one annotation if there is a value for it, or leaves what is there.
pub fn write_if_some<T: Serialize>(annotations: &mut BTreeMap<String, String>, key: &str, value: Option<&T>) {
    if value.is_some() {
        write(annotations, key, value);
    }
}

/// Whether a field may be left out of the JSON form, because its absence means the same.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
