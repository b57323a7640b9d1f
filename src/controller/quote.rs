//! Quotes messages of other programs in status. A message reads the same for each try, so that the controller
//! recognises a repetition.

/// A word of so many hexadecimal digits is an id, which differs from try to try.
const SHORTEST_ID: usize = 16;

/// `message` without ids and local ports. So the controller does not write status because a sandbox has
/// another name, or a connection another port.
pub fn without_ids(message: &str) -> String {
    let message = without_own_ports(message.trim());
    let words = message.split_inclusive(|end: char| !is_of_word(end));
    let replaced = words.map(|word| {
        let bare = word.trim_end_matches(|end: char| !end.is_ascii_alphanumeric());
        if is_id(bare) { format!("...{}", &word[bare.len()..]) } else { word.to_owned() }
    });
    replaced.collect()
}

/// Removes the local port of a connection, as Go writes it: `read udp 10.244.0.5:43211->10.96.0.10:53: i/o
/// timeout`.
fn without_own_ports(message: &str) -> String {
    let mut parts: Vec<_> = message.split("->").collect();
    let last = parts.pop().unwrap_or_default();
    let bare = |part: &str| {
        let before = part.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let address = if before.len() < part.len() { before.strip_suffix(':') } else { None };
        format!("{}->", address.unwrap_or(part))
    };
    parts.into_iter().map(bare).chain([last.to_owned()]).collect()
}

/// Whether two messages differ only in numbers and ids: a port, a duration, the id of a request, the number
/// in a name.
pub fn is_the_same(one: &str, other: &str) -> bool {
    without_numbers(one).eq(without_numbers(other))
}

/// The words of `message` without digits and ids.
fn without_numbers(message: &str) -> impl Iterator<Item = String> {
    let words = message.split(|end: char| !is_of_word(end)).filter(|word| !is_id(word));
    let parts = words.flat_map(|word| word.split('-')).filter(|part| !is_number(part));
    parts
        .map(|part| part.chars().filter(|character| !character.is_ascii_digit()).collect::<String>())
        .filter(|part| !part.is_empty())
}

/// Whether `word` is a decimal or hexadecimal number, like `10` and `7f3ac9`.
fn is_number(word: &str) -> bool {
    word.contains(|digit: char| digit.is_ascii_digit()) && word.chars().all(|digit| digit.is_ascii_hexdigit())
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '-'
}

fn is_id(word: &str) -> bool {
    word.len() >= SHORTEST_ID && word.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_one_try_is_not_quoted() {
        let said = "Failed to create pod sandbox: plugin failed for \"4b825dc642cb6eb9a060e54bf8d69288fbee4904\": no IP; pod web-1, uid \
                    5f0c2f6e-0b1a-4b43-9d2f-3f1c8e7a6d51.";
        assert_eq!(
            without_ids(said),
            "Failed to create pod sandbox: plugin failed for \"...\": no IP; pod web-1, uid ...."
        );
        let timeout =
            "lookup registry on 10.96.0.10:53: read udp 10.244.0.5:43211->10.96.0.10:53: i/o timeout";
        assert_eq!(
            without_ids(timeout),
            "lookup registry on 10.96.0.10:53: read udp 10.244.0.5->10.96.0.10:53: i/o timeout"
        );
        assert_eq!(without_ids("a -> b, 5->6"), "a -> b, 5->6");
        let plain = "MountVolume.SetUp failed for volume \"settings\" : configmap \"nowhere\" not found";
        assert_eq!(without_ids(plain), plain);
    }

    #[test]
    fn two_tries_say_the_same_whatever_their_ports_ids_and_durations() {
        let same = [
            (
                "read tcp 10.0.0.1:53422->10.0.0.2:443: connection reset",
                "read tcp 10.0.0.1:40110->10.0.0.2:443: connection reset",
            ),
            (
                "denied (request 5f0c2f6e-0b1a-4b43-9d2f-3f1c8e7a6d51)",
                "denied (request 0a1b2c3d-0b1a-4b43-9d2f-3f1c8e7a6d51)",
            ),
            ("denied (request cafe01)", "denied (request 17)"),
            ("no answer in 10.2s", "no answer in 9.8s"),
            ("pods web-1 exceed the quota: used 3", "pods web-22 exceed the quota: used 4"),
        ];
        for (one, other) in same {
            assert!(is_the_same(one, other), "{one}");
        }
        assert!(!is_the_same("exceeded quota: pods", "exceeded quota: memory"));
        assert!(
            !is_the_same("denied the request: 缺少标签", "denied the request: 镜像仓库不允许"),
            "whatever the language"
        );
        assert!(!is_the_same("", "denied"));
    }
}
