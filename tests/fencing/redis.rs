//! Redis: a script that checks and writes in one step.

use super::recipe::Workplace;
use super::scenario::{self, Store};
use super::server::{self, Server};

const ROUNDS: u64 = 200;

struct Redis {
    workplace: Workplace,
    _server: Server,
}

impl Redis {
    fn new() -> Self {
        let program = server::require("Redis", ["/usr/bin/redis-server".into()]);
        let workplace = Workplace::new().reaching("redis-cli", "redis-cli -s redis.socket");
        let socket = workplace.path().join("redis.socket");
        let words = [
            program.to_str(),
            Some("--port"),
            Some("0"),
            Some("--unixsocket"),
            socket.to_str(),
            Some("--save"),
            Some(""),
        ];
        let words = words.map(|word| word.expect("a path in UTF-8"));
        let server = Server::start(&words, "KILL", &workplace.path().join("log"), || socket.exists());
        Self { workplace, _server: server }
    }
}

impl Store for Redis {
    fn write(&self, token: &str, value: &str) -> Result<(), String> {
        self.workplace.run("fenced.sh", token, &[value]).map(drop)
    }

    fn stored(&self) -> Vec<String> {
        let read = "redis-cli GET '{shop/nightly-rollup}:total'; redis-cli LRANGE '{shop/nightly-rollup}:journal' 0 -1";
        self.workplace.must(read).lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_stale_script_runs_none_of_its_commands() {
    scenario::a_stale_holder_is_refused(&Redis::new());
}

#[test]
fn the_script_compares_numbers() {
    scenario::tokens_are_compared_as_numbers(&Redis::new());
}

#[test]
fn the_script_orders_writes_that_race() {
    scenario::the_new_holder_wins_every_race(&Redis::new(), ROUNDS);
}

#[test]
fn what_is_no_token_is_refused() {
    let redis = Redis::new();
    for token in ["", "-1", "007", "4e9", "nil"] {
        redis.write(token, "absent").expect_err("no token");
    }
    assert_eq!(redis.stored().concat(), "");
}
