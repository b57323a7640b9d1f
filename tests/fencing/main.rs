//! The recipes of docs/fencing.md, taken from that page and run against the real servers: a stale holder is
//! refused.
//!
//! `hack/stores.sh` installs what they need; without it every test that needs a server fails and says so.

mod kubernetes;
mod postgresql;
mod recipe;
mod redis;
mod s3;
mod scenario;
mod server;

#[test]
fn no_recipe_is_left_untried() {
    let tests = [include_str!("kubernetes.rs"), include_str!("postgresql.rs")];
    let tests = [tests, [include_str!("redis.rs"), include_str!("s3.rs")]].concat();
    let names: Vec<_> = recipe::all().map(|recipe| recipe.name).collect();
    for name in &names {
        let is_named = |text: &str| {
            text.contains(&format!("\"{name}\""))
                || names.iter().any(|by| by != name && recipe::text(by).contains(name))
        };
        assert!(tests.iter().any(|test| is_named(test)), "no test runs {name}");
    }
    assert!(names.len() >= 10, "the page has lost its recipes: {names:?}");
}
