//! Child processes of the tests: started so that they cannot outlive the test run, ended gently and then by force.
//!
//! It knows nothing of httpd or Tomcat. The surprising thing: children are started by one thread that never ends. The
//! kernel's parent-death signal is sent when the *thread* that started a child ends, and every test has a thread of its
//! own; so a server that several tests share would otherwise end with the first of them.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where a fact is not as it must be"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::wait;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `program` with `arguments` in a process group of its own; it gets SIGTERM when the test binary ends, however
/// that happens. `prepare` sets the rest of the command (environment, redirections).
pub(crate) fn start(program: &str, arguments: &[String], prepare: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", program]).args(arguments).process_group(0);
    prepare(&mut command);
    let (answer, started) = mpsc::channel();
    starter().send((command, answer)).expect("the starting thread never ends");
    let result = started.recv().expect("the starting thread answers every order");
    result.unwrap_or_else(|error| panic!("cannot start {program} through setpriv (util-linux): {error}"))
}

fn starter() -> Sender<Order> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let sender = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                // The receiver waits in start() and cannot have gone away.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    sender.clone()
}

/// The child's process id as the system calls want it.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Sends `signal` to the child itself, not to its group. Does nothing if it has ended and was waited for.
pub(crate) fn signal(child: &mut Child, signal: Signal) {
    if matches!(child.try_wait(), Ok(None)) {
        rustix::process::kill_process(pid(child), signal).expect("a child of ours can be signalled");
    }
}

/// Sends SIGTERM, waits up to `patience`, then kills the whole process group. Returns how it ended, and whether gently.
pub(crate) fn end(child: &mut Child, patience: Duration) -> (ExitStatus, bool) {
    signal(child, Signal::TERM);
    if let Some(status) = ended_within(child, patience) {
        return (status, true);
    }
    (kill(child), false)
}

/// Kills the child and its process group at once and waits for it.
pub(crate) fn kill(child: &mut Child) -> ExitStatus {
    if let Ok(Some(status)) = child.try_wait() {
        return status;
    }
    // The group may be empty already; the child itself is killed all the same.
    let _ = rustix::process::kill_process_group(pid(child), Signal::KILL);
    let _ = child.kill();
    child.wait().expect("a child of ours can be waited for")
}

/// Waits for the child to end; None if it still runs after `patience`.
pub(crate) fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let limit = Instant::now() + patience;
    wait::until_some(patience * 2, "a child to end or its time to be over", || {
        match child.try_wait().expect("a child of ours can be waited for") {
            Some(status) => Some(Some(status)),
            None => (Instant::now() >= limit).then_some(None),
        }
    })
}
