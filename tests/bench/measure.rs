//! How one cell of the table is measured: callgrind for instructions, strace for system calls, the kernel's run time for load.
//!
//! Not here: what is measured. The surprising thing: instructions and system calls are differences between N and 2N requests, so
//! what a measurement itself costs, and what httpd does without being asked, falls out.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use super::client::{Client, Request};
use super::server::Server;
use super::wait;

/// Requests of each client before anything is counted: connections are open then and buffers have their size.
const WARM_UP: u32 = 40;
/// Clients that ask at the same time before instructions are counted, twice as many as httpd has threads: each has then served a request and has its
/// buffers.
const WARM_UP_CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

/// User-space instructions of one request; the profile of the last requests is copied to `keep`.
///
/// An OPTIONS request between them makes callgrind write down what it has counted and begin again (`DUMP_BEFORE` of server.rs).
pub(crate) fn instructions(server: &Server, request: &Request, times: u32, keep: Option<&Path>) -> io::Result<f64> {
    let (mut client, dump) = (Client::connect(server.address())?, Request::new("OPTIONS", "/", 0));
    warm_up_threads(server, request)?;
    client.run(request, WARM_UP)?;
    client.run(&dump, 1)?;
    client.run(request, times)?;
    client.run(&dump, 1)?;
    client.run(request, times * 2)?;
    client.run(&dump, 1)?;
    if let Some(keep) = keep {
        fs::copy(server.file("profile.3"), keep)?;
    }
    let (once, twice) = (total(&server.file("profile.2"))?, total(&server.file("profile.3"))?);
    Ok((twice - once) / f64::from(times))
}

/// Keeps all threads of httpd busy at once, which then closes connections that are only kept alive: that ends a client.
fn warm_up_threads(server: &Server, request: &Request) -> io::Result<()> {
    let ask = || match Client::connect(server.address())?.run(request, WARM_UP) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        outcome => outcome,
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..WARM_UP_CLIENTS).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().try_for_each(|one| one.join().map_err(|_| io::Error::other("a client panicked"))?)
    })
}

fn total(dump: &Path) -> io::Result<f64> {
    let text = fs::read_to_string(dump)?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|text| text.trim().parse().ok()).ok_or_else(|| io::Error::other("a profile without totals"))
}

/// System calls of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// All.
    pub(crate) all: f64,
    /// Those of httpd's hand-over between threads.
    pub(crate) futex: f64,
    /// By name, the most frequent first.
    pub(crate) by_name: Vec<(String, f64)>,
}

/// System calls of one request.
pub(crate) fn calls(server: &Server, request: &Request, times: u32) -> io::Result<Calls> {
    let mut client = Client::connect(server.address())?;
    client.run(request, WARM_UP)?;
    let once = traced(server, &mut client, request, times)?;
    let twice = traced(server, &mut client, request, times * 2)?;
    let mut calls = Calls::default();
    for (name, count) in &twice {
        let before = once.iter().find(|(known, _)| known == name).map_or(0.0, |(_, count)| *count);
        let each = (count - before) / f64::from(times);
        calls.all += each;
        if name == "futex" {
            calls.futex += each;
        }
        calls.by_name.push((name.clone(), each));
    }
    calls.by_name.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    Ok(calls)
}

fn traced(server: &Server, client: &mut Client, request: &Request, times: u32) -> io::Result<Vec<(String, f64)>> {
    let file = server.file("calls");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(&file)
        .args(["-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Attached once every thread is traced; the first request after that is counted.
    let status = format!("/proc/{}/task", server.pid());
    wait::until(PATIENCE, "strace to attach", || all_traced(&status).unwrap_or(false));
    let run = client.run(request, times);
    let pid = rustix::process::Pid::from_child(&strace);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    strace.wait()?;
    run?;
    let text = fs::read_to_string(&file)?;
    let counts = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let count: f64 = words.next()?.parse().ok()?;
        let name = words.next()?;
        (name != "total").then(|| (name.to_owned(), count))
    });
    Ok(counts.collect())
}

fn all_traced(tasks: &str) -> io::Result<bool> {
    for task in fs::read_dir(tasks)? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        if status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() == "0")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Microseconds of CPU that httpd takes for one request while `connections` clients ask `times` times each.
pub(crate) fn cpu(server: &Server, request: &Request, connections: usize, times: u32) -> io::Result<f64> {
    let start = Barrier::new(connections + 1);
    let before = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for _ in 0..connections {
            let start = &start;
            running.push(scope.spawn(move || {
                let client = Client::connect(server.address()).and_then(|mut client| {
                    client.run(request, 5)?;
                    Ok(client)
                });
                start.wait();
                start.wait();
                client?.run(request, times)
            }));
        }
        start.wait();
        let before = run_time(server.pid());
        start.wait();
        for client in running {
            client.join().map_err(|_| io::Error::other("a client panicked"))??;
        }
        before
    })?;
    let spent = run_time(server.pid())? - before;
    Ok(spent / 1_000.0 / (f64::from(times) * f64::from(u32::try_from(connections).unwrap_or(1))))
}

/// Nanoseconds that all threads of a process have run.
fn run_time(pid: u32) -> io::Result<f64> {
    let mut total = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        total += text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(total)
}
