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

/// A database with the recipes' migrations, and somebody else's tables in it.
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
        workplace.must(&format!("{account} {programs}/initdb --pgdata=data --username=postgres --auth=trust --no-sync"));
        let workplace = workplace.with("PGHOST", &directory).with("PGUSER", "postgres").with("PGDATABASE", "postgres");
        let command = format!("{account} {programs}/postgres -D {directory}/data -k {directory} -c listen_addresses= -c fsync=off");
        let is_ready =
            || Command::new("psql").args(["-h", &directory, "-U", "postgres", "-c", ""]).output().is_ok_and(|it| it.status.success());
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

    /// As the administrator.
    fn sql(&self, statements: &str) -> String {
        fs::write(self.workplace.path().join("administration.sql"), statements).expect("a writable directory");
        self.workplace.must("psql --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --file administration.sql")
    }

    fn stored(&self) -> Vec<String> {
        self.sql("SELECT amount FROM totals; SELECT entry FROM journal ORDER BY id").lines().map(str::to_owned).collect()
    }
}

/// PostgreSQL refuses to run as root: what to run it with instead, after the directory was given away.
fn account(directory: &Path) -> &'static str {
    if fs::metadata(directory).expect("a directory").uid() != 0 {
        return "";
    }
    let given = Command::new("chown").arg("postgres:").arg(directory).status();
    assert!(given.is_ok_and(|status| status.success()), "there is no user postgres: hack/stores.sh installs PostgreSQL");
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
    let carefree = "psql --quiet --set ON_ERROR_STOP=0 --set token=41 --set amount=late --file rollup.sql 2>&1";
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
        while database.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").trim() != "1" {}
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
    for statement in ["UPDATE totals SET amount = 'late'", "DELETE FROM totals", "TRUNCATE totals", "COPY totals FROM PROGRAM 'true'"] {
        let refusal = database.0.workplace.run("with-token.sh", "41", &[statement]).expect_err("stale");
        assert!(refusal.contains("stale fencing token 41: 42 was seen"), "{statement}: {refusal}");
    }
    database.0.workplace.run("with-token.sh", "", &[&WRITE.replace("AMOUNT", "nobody")]).expect_err("no token");
    assert_eq!(database.stored(), before);
}
