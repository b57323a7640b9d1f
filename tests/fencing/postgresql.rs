//! PostgreSQL: a function in every transaction, and a trigger for programs that know nothing of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::recipe::{self, Workplace};
use super::scenario::{self, Store};
use super::server::{self, Server};

const ROUNDS: u64 = 200;
const TABLES: &str = "CREATE TABLE totals (day date PRIMARY KEY, amount text);
                      CREATE TABLE journal (id bigserial, entry text);";
const WRITE: &str = "INSERT INTO totals VALUES ('2026-11-21', 'AMOUNT') ON CONFLICT (day) DO UPDATE SET amount = excluded.amount";

/// A database with the recipes' migrations, and another team's tables in it.
struct Database {
    workplace: Workplace,
    _server: Server,
}

impl Database {
    fn new() -> Self {
        let workplace = Workplace::new();
        let directory = workplace.path().display().to_string();
        let account = account(workplace.path());
        let programs = programs().display().to_string();
        workplace.must(&format!(
            "{account} {programs}/initdb --pgdata=data --username=postgres --auth=trust --no-sync"
        ));
        let workplace =
            workplace.with("PGHOST", &directory).with("PGUSER", "postgres").with("PGDATABASE", "postgres");
        let command = format!(
            "{account} {programs}/postgres -D {directory}/data -k {directory} -c listen_addresses= -c fsync=off"
        );
        let is_ready = || {
            Command::new("psql")
                .args(["-h", &directory, "-U", "postgres", "-c", ""])
                .output()
                .is_ok_and(|it| it.status.success())
        };
        let command: Vec<_> = command.split_whitespace().collect();
        let server = Server::start(&command, "QUIT", &workplace.path().join("log"), is_ready);
        let database = Self { workplace, _server: server };
        database.sql(TABLES);
        database.sql(recipe::text("fence.sql"));
        database
    }

    fn with_trigger() -> Self {
        let database = Self::new();
        database.sql(recipe::text("trigger.sql"));
        database
    }

    fn with_effects() -> Self {
        let database = Self::new();
        database.sql(recipe::text("effects.sql"));
        database
    }

    /// As the administrator.
    fn sql(&self, statements: &str) -> String {
        fs::write(self.workplace.path().join("administration.sql"), statements)
            .expect("a writable directory");
        self.workplace
            .must("psql --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --file administration.sql")
    }

    fn stored(&self) -> Vec<String> {
        self.sql("SELECT amount FROM totals; SELECT entry FROM journal ORDER BY id")
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// PostgreSQL refuses to run as root: what to run it with instead, after the directory was given away.
fn account(directory: &Path) -> &'static str {
    if fs::metadata(directory).expect("a directory").uid() != 0 {
        return "";
    }
    let given = Command::new("chown").arg("postgres:").arg(directory).status();
    assert!(
        given.is_ok_and(|status| status.success()),
        "there is no user postgres: hack/stores.sh installs PostgreSQL"
    );
    "setpriv --reuid=postgres --regid=postgres --clear-groups"
}

/// Debian keeps the servers of each version apart.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let initdb = server::require("PostgreSQL", versions.map(|version| version.path().join("bin/initdb")));
    initdb.parent().expect("a directory").to_owned()
}

/// Programs that begin their transactions with the function.
struct Willing(Database);

impl Store for Willing {
    fn write(&self, token: &str, value: &str) -> Result<(), String> {
        self.0.workplace.run("rollup.sh", token, &[value]).map(drop)
    }

    fn stored(&self) -> Vec<String> {
        self.0.stored()
    }
}

/// Programs whose SQL knows nothing of fencing: the trigger stops them.
struct Unknowing(Database);

impl Store for Unknowing {
    fn write(&self, token: &str, value: &str) -> Result<(), String> {
        let journal = format!("INSERT INTO journal (entry) VALUES ('{value}')");
        let transaction = format!("BEGIN; {journal}; {}; COMMIT", WRITE.replace("AMOUNT", value));
        self.0.workplace.run("with-token.sh", token, &[&transaction]).map(drop)
    }

    fn stored(&self) -> Vec<String> {
        self.0.stored()
    }
}

#[test]
fn a_stale_transaction_stores_nothing() {
    scenario::a_stale_holder_is_refused(&Willing(Database::new()));
}

#[test]
fn the_function_compares_numbers() {
    scenario::tokens_are_compared_as_numbers(&Willing(Database::new()));
}

#[test]
fn the_function_orders_transactions_that_race() {
    scenario::the_new_holder_wins_every_race(&Willing(Database::new()), ROUNDS);
}

#[test]
fn a_holder_that_ignores_its_refusal_stores_nothing() {
    let database = Willing(Database::new());
    database.write("42", "new").expect("accepted");
    let before = database.stored();
    let carefree =
        "psql --quiet --set ON_ERROR_STOP=0 --set token=41 --set amount=late --file rollup.sql 2>&1";
    assert!(database.0.workplace.must(carefree).contains("stale fencing token 41: 42 was seen"));
    assert_eq!(database.stored(), before);
}

#[test]
fn a_claim_waits_for_the_transaction_that_the_old_holder_has_open() {
    let database = Database::new();
    database.workplace.run("rollup.sh", "41", &["first"]).expect("accepted");
    let paused = "BEGIN; SELECT fence('shop/nightly-rollup', 41); SELECT pg_sleep(2); INSERT INTO journal (entry) VALUES ('old'); COMMIT;";
    std::thread::scope(|scope| {
        scope.spawn(|| database.workplace.must(&format!("psql --quiet --command \"{paused}\"")));
        while database.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").trim() != "1"
        {
        }
        database.workplace.run("rollup.sh", "42", &["new"]).expect("accepted, later");
    });
    assert_eq!(database.stored(), ["new", "first", "old", "new"]);
}

#[test]
fn a_job_without_a_fence_is_refused() {
    let database = Willing(Database::new());
    database.0.sql("DELETE FROM fencing");
    database.write("42", "new").expect_err("no row, no write");
    assert!(database.stored().is_empty());
}

#[test]
fn a_trigger_refuses_the_stale_holder_of_unchanged_sql() {
    scenario::a_stale_holder_is_refused(&Unknowing(Database::with_trigger()));
}

#[test]
fn a_trigger_compares_numbers() {
    scenario::tokens_are_compared_as_numbers(&Unknowing(Database::with_trigger()));
}

#[test]
fn a_trigger_orders_writes_that_race() {
    scenario::the_new_holder_wins_every_race(&Unknowing(Database::with_trigger()), ROUNDS);
}

#[test]
fn a_trigger_refuses_every_kind_of_write_and_writers_without_a_token() {
    let database = Unknowing(Database::with_trigger());
    database.write("42", "new").expect("accepted");
    let before = database.stored();
    for statement in [
        "UPDATE totals SET amount = 'late'",
        "DELETE FROM totals",
        "TRUNCATE totals",
        "COPY totals FROM PROGRAM 'true'",
    ] {
        let refusal = database.0.workplace.run("with-token.sh", "41", &[statement]).expect_err("stale");
        assert!(refusal.contains("stale fencing token 41: 42 was seen"), "{statement}: {refusal}");
    }
    database
        .0
        .workplace
        .run("with-token.sh", "", &[&WRITE.replace("AMOUNT", "absent")])
        .expect_err("no token");
    assert_eq!(database.stored(), before);
}

/// Which runs the other files of its recipe.
const ONCE: &str = "once.sh";

/// How a start of `run` with this token ends that is to send a mail, which is a line of a file: what it said,
/// or complained of.
fn start(database: &Database, run: &str, token: u32, command: &str) -> Result<String, String> {
    database
        .workplace
        .attempt(&format!("{run} SINGLETONJOB_FENCING_TOKEN={token} sh {ONCE} mail {command} 2>&1"))
}

const SENDS: &str = "sh -c 'echo mail >> sent'";

fn sent(database: &Database) -> usize {
    fs::read_to_string(database.workplace.path().join("sent")).unwrap_or_default().lines().count()
}

fn in_doubt(database: &Database) -> String {
    database.sql("SELECT run, effect FROM effects WHERE done IS NULL").trim().to_owned()
}

fn tick(number: u32, hour: u32) -> String {
    format!("SINGLETONJOB_RUN={number} SINGLETONJOB_SCHEDULED_TIME=2026-11-21T{hour:02}:00:00Z")
}

#[test]
fn a_mail_is_sent_once_for_each_run_however_often_the_run_is_started() {
    let database = Database::with_effects();
    for (token, run, mails) in
        [(41, tick(1, 2), 1), (42, tick(1, 2), 1), (57, tick(1, 2), 1), (60, tick(2, 3), 2)]
    {
        start(&database, &run, token, SENDS).expect("the mail of this run is sent, now or earlier");
        assert_eq!(sent(&database), mails, "token {token}");
    }
    let again = start(&database, &tick(2, 3), 61, SENDS).expect("it is sent");
    assert!(
        again.contains("mail of 2026-11-21T03:00:00Z was done by an earlier start: not again"),
        "{again}"
    );
    for (token, mails) in [(62, 3), (63, 3)] {
        start(&database, "SINGLETONJOB_RUN=3", token, SENDS)
            .expect("a run on request is known by its number");
        assert_eq!(sent(&database), mails, "token {token}");
    }
    assert_eq!(in_doubt(&database), "");
}

#[test]
fn a_start_that_died_while_it_sent_fails_every_later_start_of_its_run() {
    let database = Database::with_effects();
    let run = tick(1, 2);
    start(&database, &run, 41, "sh -c 'echo mail >> sent; kill -KILL $PPID'").expect_err("killed");
    for token in [42, 43] {
        let refusal = start(&database, &run, token, SENDS)
            .expect_err("the database does not know whether the mail was sent");
        assert!(
            refusal.contains(
                "mail of 2026-11-21T02:00:00Z was claimed by another start, and it is not known to be done"
            ),
            "{refusal}"
        );
    }
    assert_eq!((sent(&database), in_doubt(&database)), (1, "2026-11-21T02:00:00Z|mail".to_owned()));
    database.sql("UPDATE effects SET done = now()");
    start(&database, &run, 44, SENDS).expect("a person has decided");
    assert_eq!(sent(&database), 1);
}

#[test]
fn a_command_that_fails_leaves_its_effect_in_doubt() {
    let database = Database::with_effects();
    start(&database, "SINGLETONJOB_RUN=1", 41, "false").expect_err("the command has failed");
    assert_eq!(in_doubt(&database), "run 1|mail");
}

#[test]
fn an_effect_without_a_command_is_refused_and_claims_nothing() {
    let database = Database::with_effects();
    let refusal = database.workplace.attempt(&format!(
        "{} SINGLETONJOB_FENCING_TOKEN=41 sh {ONCE} mail 2>&1 || echo exit $?",
        tick(1, 2)
    ));
    assert_eq!(refusal.expect("it is asked for its exit code").trim(), "once.sh mail: no command\nexit 64");
    start(&database, &tick(1, 2), 41, SENDS).expect("nothing is claimed");
    assert_eq!(sent(&database), 1);
}

#[test]
fn a_start_that_cannot_claim_its_effect_fails_and_sends_nothing() {
    let database = Database::with_effects();
    start(&database, &tick(1, 2), 42, "true").expect("claimed and done");
    for run in [tick(1, 2), tick(2, 3)] {
        let refusal = start(&database, &run, 41, SENDS).expect_err("a stale holder");
        assert!(refusal.contains("stale fencing token 41: 42 was seen"), "{refusal}");
    }
    let unreachable = format!("PGHOST=/nowhere {}", tick(2, 3));
    let refusal = start(&database, &unreachable, 43, SENDS).expect_err("no server, no claim");
    assert!(refusal.contains("/nowhere"), "{refusal}");
    assert_eq!((sent(&database), in_doubt(&database)), (0, String::new()));
}
