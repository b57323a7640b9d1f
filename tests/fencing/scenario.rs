//! What every recipe is put through, whatever the store.

use std::thread;

/// A store behind a recipe.
pub trait Store: Sync {
    /// Writes as the holder of this token. What the writer is told if it is not stored.
    fn write(&self, token: &str, value: &str) -> Result<(), String>;

    /// All that is stored, the fence left out: the value that counts first, then what else a write leaves
    /// behind.
    fn stored(&self) -> Vec<String>;
}

/// Pairs of a token and the next one which careless comparisons get wrong: as strings, as doubles, as 64-bit
/// numbers.
const PAIRS: [(&str, &str); 6] = [
    ("9", "10"),
    ("99", "100"),
    ("9007199254740992", "9007199254740993"),
    ("9223372036854775807", "9223372036854775808"),
    ("18446744073709551615", "18446744073709551616"),
    ("340282366920938463463374607431768211454", "340282366920938463463374607431768211455"),
];

/// Old holder, new holder, the old one's late write, and the new holder goes on.
pub fn a_stale_holder_is_refused(store: &impl Store) {
    store.write("41", "old").expect("the first holder is accepted");
    store.write("41", "old-again").expect("the same holder goes on");
    store.write("42", "new").expect("a higher token is accepted");
    assert_refused(store, "41");
    store.write("42", "new-again").expect("a refusal disturbs no other writer");
    assert_eq!(value(store), "new-again");
}

/// Nothing of a refused write is stored, and the writer is told why.
pub fn assert_refused(store: &impl Store, token: &str) {
    let before = store.stored();
    let refusal = store.write(token, "late").expect_err("a lower token is refused");
    assert!(refusal.contains(&format!("stale fencing token {token}: ")), "{refusal}");
    assert_eq!(store.stored(), before);
}

/// Tokens are numbers, of any length.
pub fn tokens_are_compared_as_numbers(store: &impl Store) {
    for (lower, higher) in PAIRS {
        store.write(lower, lower).expect("accepted");
        store.write(higher, higher).expect("a higher token is accepted");
        assert_refused(store, lower);
        assert_eq!(value(store), higher);
    }
}

/// The stale holder and the new one write at the same moment: whatever the order, the new one's value
/// remains.
pub fn the_new_holder_wins_every_race(store: &impl Store, rounds: u64) {
    // Doubles stop being exact half way through.
    let first = (1 << 53) - rounds / 2;
    store.write(&first.to_string(), "first").expect("accepted");
    for old in first..first + rounds {
        let (old, new) = (old.to_string(), (old + 1).to_string());
        thread::scope(|scope| {
            let late = scope.spawn(|| store.write(&old, "late"));
            store.write(&new, &new).expect("a higher token is accepted");
            let told = late.join().expect("no panic");
            assert!(told.as_ref().err().is_none_or(|why| why.contains("stale fencing token")), "{told:?}");
        });
        assert_eq!(value(store), new, "the stale write came last");
    }
    assert_refused(store, &first.to_string());
}

fn value(store: &impl Store) -> String {
    store.stored().into_iter().next().unwrap_or_default()
}
