//! A workload that says when it ran.
//!
//! Every process of it writes a file of its own: when its first instruction was, when its last one so far,
//! which signals it got and how it ended, all in `CLOCK_BOOTTIME`, which reads the same in every pod of one
//! machine. The beat is a number rewritten in place about every 50 us (always, with `--spin`) until the
//! process is gone, so that even a SIGKILL leaves the time of the last instruction behind.
//!
//! A record is the beat as 8 bytes, little-endian, and then lines of `key=value` words.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clap::Parser;
use nix::sys::prctl::set_timerslack;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::setsid;

/// Beats between two looks at what is slower to look at than the clock.
const BEATS_PER_LOOK: u32 = 20;

#[derive(Parser)]
struct Arguments {
    /// Where records go.
    #[arg(long, env = "WITNESS_DIRECTORY", default_value = "/witness")]
    directory: PathBuf,
    /// Any text: which incarnation of the job this is.
    #[arg(long, env = "WITNESS_LABEL", default_value = "")]
    label: String,
    /// End by itself after this long.
    #[arg(long)]
    seconds: Option<f64>,
    /// End by itself as soon as this file exists in the directory of the records.
    #[arg(long)]
    until: Option<String>,
    /// Exit code when it ends by itself.
    #[arg(long, default_value_t = 0)]
    exit: u8,
    /// Exit code when it ends on a signal.
    #[arg(long, default_value_t = 143)]
    signalled: u8,
    /// How long it goes on after a signal.
    #[arg(long, default_value_t = 0)]
    linger_milliseconds: u64,
    /// Go on whatever signal comes.
    #[arg(long)]
    stubborn: bool,
    /// Sessions of their own, orphaned at once, that beat until they are killed.
    #[arg(long, default_value_t = 0)]
    daemons: u32,
    /// Orphaned at once, but in the process group of the first, that beat until they are killed.
    #[arg(long, default_value_t = 0)]
    orphans: u32,
    /// Never sleep.
    #[arg(long)]
    spin: bool,
    /// How long it sleeps from beat to beat, at least.
    #[arg(long, env = "WITNESS_PAUSE_MICROSECONDS", default_value_t = 20)]
    pause_microseconds: u64,
    /// Set by itself: how this process came about.
    #[arg(long, hide = true, value_enum, default_value_t = Kind::Main)]
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Main,
    /// Starts a daemon and ends at once, which orphans it.
    Launcher,
    /// The same in the group that it was born in.
    Midwife,
    Daemon,
}

fn main() -> ExitCode {
    let first = now();
    match run(&Arguments::parse(), first) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("witness: {error}");
            ExitCode::from(70)
        }
    }
}

fn run(arguments: &Arguments, first: u64) -> io::Result<u8> {
    if matches!(arguments.kind, Kind::Launcher | Kind::Midwife) {
        if arguments.kind == Kind::Launcher {
            setsid()?;
        }
        spawn(arguments, "daemon")?;
        return Ok(0);
    }
    // Before the record is there: tests send signals as soon as they see it.
    let signals = catch_signals()?;
    let mut record = Record::create(arguments, first)?;
    if arguments.kind == Kind::Main {
        for _ in 0..arguments.daemons {
            spawn(arguments, "launcher")?.wait()?;
        }
        for _ in 0..arguments.orphans {
            spawn(arguments, "midwife")?.wait()?;
        }
        println!("witness: running with token {}", variable("SINGLETONJOB_FENCING_TOKEN")?);
    }
    set_timerslack(1)?;
    let code = beat(arguments, first, &mut record, &signals)?;
    record.write(&format!("exit={code} at={}\n", now()))?;
    Ok(code)
}

/// Until it is time to end, with this exit code.
fn beat(arguments: &Arguments, first: u64, record: &mut Record, signals: &SignalFd) -> io::Result<u8> {
    let alone = arguments.kind == Kind::Daemon;
    // A daemon goes on until it is ended.
    let (seconds, until) = if alone { (None, None) } else { (arguments.seconds, arguments.until.as_ref()) };
    let end = seconds.map_or(u64::MAX, |seconds| first + nanoseconds(Duration::from_secs_f64(seconds)));
    let until = until.map(|name| arguments.directory.join(name));
    let mut leave = u64::MAX;
    loop {
        for _ in 0..BEATS_PER_LOOK {
            record.beat(now())?;
            if !arguments.spin {
                sleep(Duration::from_micros(arguments.pause_microseconds));
            }
        }
        while let Some(signal) = signals.read_signal()? {
            record.write(&format!("signal={} at={}\n", signal.ssi_signo, now()))?;
            if !arguments.stubborn && !alone {
                leave = leave.min(now() + nanoseconds(Duration::from_millis(arguments.linger_milliseconds)));
            }
        }
        if now() >= leave {
            return Ok(arguments.signalled);
        }
        if now() >= end || until.as_deref().is_some_and(Path::exists) {
            return Ok(arguments.exit);
        }
    }
}

/// All that can be caught but those that come by themselves.
fn catch_signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::all();
    for signal in
        [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE]
    {
        signals.remove(signal);
    }
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

fn spawn(arguments: &Arguments, kind: &str) -> io::Result<std::process::Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--kind", kind, "--label", &arguments.label, "--directory"]).arg(&arguments.directory);
    command.arg("--pause-microseconds").arg(arguments.pause_microseconds.to_string());
    if arguments.spin {
        command.arg("--spin");
    }
    command.stdin(Stdio::null()).spawn()
}

struct Record {
    file: File,
    end: u64,
}

impl Record {
    fn create(arguments: &Arguments, first: u64) -> io::Result<Self> {
        let token = variable("SINGLETONJOB_FENCING_TOKEN")?;
        let pid = std::process::id();
        let path = arguments.directory.join(format!("{token}-{first}-{pid}"));
        let mut record = Self { file: OpenOptions::new().write(true).create_new(true).open(path)?, end: 8 };
        let kind = if arguments.kind == Kind::Main { "main" } else { "daemon" };
        let pod = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
        record.write(&format!(
            "token={token} run={} attempt={} kind={kind} pod={} pid={pid} first={first} label={}\n",
            variable("SINGLETONJOB_RUN")?,
            variable("SINGLETONJOB_ATTEMPT")?,
            pod.trim(),
            arguments.label,
        ))?;
        record.beat(now())?;
        Ok(record)
    }

    fn beat(&self, at: u64) -> io::Result<()> {
        self.file.write_all_at(&at.to_le_bytes(), 0)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all_at(line.as_bytes(), self.end)?;
        self.end += line.len() as u64;
        Ok(())
    }
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|_| {
        io::Error::other(format!("{name} is not set: this program is started by singletonjob-agent"))
    })
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has this clock");
    nanoseconds(Duration::from(time))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
