//! S3: one object that says where the data is, compared and swapped.

use std::fs;

use super::recipe::Workplace;
use super::scenario::{self, Store};
use super::server::{self, Server};
use testkit::programs::binaries;

/// Each takes some ten requests, of a process each.
const ROUNDS: u64 = 100;
const CURL: &str = "curl --unix-socket s3.socket";
const SIGNED: &str = "curl --silent --show-error --fail --aws-sigv4 aws:amz:us-east-1:s3 --user access:secret \
                      --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD'";

struct Bucket {
    workplace: Workplace,
    _server: Server,
}

impl Bucket {
    fn new() -> Self {
        let workplace = Workplace::new()
            .reaching("curl", CURL)
            .with("AWS_REGION", "us-east-1")
            .with("BUCKET_URL", "http://s3.local/shop");
        let workplace = workplace.with("AWS_ACCESS_KEY_ID", "access").with("AWS_SECRET_ACCESS_KEY", "secret");
        fs::create_dir(workplace.path().join("files")).expect("a writable directory");
        let program = server::require("the S3 server", [binaries().join("versitygw")]);
        let socket = workplace.path().join("s3.socket");
        let command = format!(
            "{} --quiet --port {} --access access --secret secret posix {}/files",
            program.display(),
            socket.display(),
            workplace.path().display()
        );
        let command: Vec<_> = command.split_whitespace().collect();
        let server = Server::start(&command, "KILL", &workplace.path().join("log"), || socket.exists());
        workplace.must(&format!("{SIGNED} --request PUT http://s3.local/shop"));
        Self { workplace, _server: server }
    }

    fn read(&self, key: &str) -> String {
        self.workplace.must(&format!("{SIGNED} http://s3.local/shop/{key}"))
    }
}

impl Store for Bucket {
    fn write(&self, token: &str, value: &str) -> Result<(), String> {
        fs::write(self.workplace.path().join(value), value).expect("a writable directory");
        self.workplace.run("publish.sh", token, &[value]).map(drop)
    }

    fn stored(&self) -> Vec<String> {
        let current = self.read("current");
        let (_, key) = current.trim().split_once(' ').expect("a token and a key");
        vec![self.read(key), current]
    }
}

#[test]
fn a_stale_holder_publishes_nothing() {
    scenario::a_stale_holder_is_refused(&Bucket::new());
}

#[test]
fn the_pointer_compares_numbers() {
    scenario::tokens_are_compared_as_numbers(&Bucket::new());
}

#[test]
fn the_pointer_survives_races() {
    scenario::the_new_holder_wins_every_race(&Bucket::new(), ROUNDS);
}

#[test]
fn a_claim_that_changes_no_data_shuts_the_old_holder_out() {
    let bucket = Bucket::new();
    bucket.write("41", "old").expect("accepted");
    let headers = bucket.workplace.must(&format!("{SIGNED} --head http://s3.local/shop/current"));
    let etag = headers.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an ETag").trim();
    bucket.workplace.run("publish.sh", "42", &[]).expect("a claim");
    assert_eq!(bucket.stored(), ["old", "42 runs/41/old\n"]);
    let late =
        format!("! {SIGNED} --upload-file old --header 'If-Match: {etag}' http://s3.local/shop/current 2>&1");
    assert!(bucket.workplace.must(&late).contains("412"), "a write that was in flight during the claim");
    scenario::assert_refused(&bucket, "41");
}

/// Like a server, or a proxy before it, that says nothing of an ETag; what is stored shows in the file
/// `stored`.
const WITHOUT_ETAG: &str = r#"
for argument; do
  case $previous in --output) output=$argument ;; --dump-header) headers=$argument ;; --upload-file) echo stored >>stored ;; esac
  previous=$argument
done
printf 'HTTP/1.1 200 OK\r\n\r\n' >"${headers:-/dev/null}"
echo '41 runs/41/old' >"$output"
printf 200
"#;

#[test]
fn nothing_is_stored_over_what_cannot_be_compared() {
    let workplace = Workplace::new().reaching("curl", "sh without-etag.sh").with("AWS_REGION", "us-east-1");
    let workplace = workplace
        .with("AWS_ACCESS_KEY_ID", "access")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("BUCKET_URL", "http://s3.local/shop");
    fs::write(
        workplace.path().join("without-etag.sh"),
        format!("previous= output= headers=\n{WITHOUT_ETAG}"),
    )
    .expect("a writable directory");
    let refusal = workplace.run("publish.sh", "42", &[]).expect_err("an empty condition is none");
    assert!(refusal.contains("current has no ETag"), "{refusal}");
    assert!(!workplace.path().join("stored").exists());
}
