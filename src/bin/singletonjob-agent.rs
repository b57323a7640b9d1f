//! The agent: PID 1 of the gated container.

fn main() {
    std::process::exit(singletonjob::agent::main())
}
