//! `make bench BENCH=selection`: user-space instructions that a balancer adds to a request, nearly all of them for the choice of a member, by
//! method and with sessions. It measures and asserts nothing.
//!
//! Not here: the request itself (`requests.rs`), and the notes about the member. The surprising thing: requests are really served, but
//! callgrind only counts inside the balancer and outside its members ([`TOGGLES`]); the numbers are the difference of 400 and 200 requests, so
//! what happens once falls out.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

#[allow(dead_code, reason = "shared with requests.rs")]
mod backend;
#[path = "../core/shm_fork.rs"]
mod shm_fork;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::ajp::response::ResponseHead;
use mod_jk::config;
use mod_jk::log::{Level, Logger, Sink, Stamp};
use mod_jk::properties::Properties;
use mod_jk::runtime::{Limits, Runtime, Worker};
use mod_jk::worker::lb::{Balance, Trail};
use mod_jk::worker::{BodyKind, ClientError, Downstream, Log, Request};

/// Entering the one begins the count and leaving it ends it; with the other, inside the first, it is the other way round. What is counted:
/// the balancer's settings and its count of requests, the session of the request, copies of the members, the choice with its record, the
/// route that the member is told, what the attempt meant for the member, and the report about it.
const TOGGLES: [&str; 2] = ["lb::LbWorker::service", "ajp::AjpWorker::service"];

/// Rows: what the table says, lines of workers.properties.
const ROWS: [(&str, &str); 8] = [
    ("Request", ""),
    ("Session", "worker.lb.method=S\n"),
    ("Next", "worker.lb.method=N\n"),
    ("Traffic", "worker.lb.method=T\n"),
    ("Busyness", "worker.lb.method=B\n"),
    ("Request, lock=P", "worker.lb.lock=P\n"),
    ("Request, slow start", "jkx.worker.lb.slow_start=60\n"),
    ("latency", "jkx.worker.lb.method=latency\n"),
];

/// Columns: what the table says, and the cookie; `$N` is the number of members.
const COLUMNS: [(&str, &str); 4] = [
    ("no session", ""),
    ("of the first member", "JSESSIONID=0123456789ABCDEF0123456789ABCDEF.w1"),
    ("of the last member", "JSESSIONID=0123456789ABCDEF0123456789ABCDEF.w$N"),
    ("of no member", "JSESSIONID=0123456789ABCDEF0123456789ABCDEF.gone"),
];

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match words.as_slice() {
        [first, port, members, row, cookie, times] if first == "work" => {
            let number = |text: &String| text.parse::<usize>().map_err(io::Error::other);
            work(number(port)?, number(members)?, row, cookie, number(times)?)
        }
        _ => table(&words),
    }
}

fn table(words: &[String]) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let port = backend::start()?;
    for members in [2, 8, 64] {
        if words.iter().any(|word| word.parse::<usize>().is_ok()) && !words.contains(&members.to_string()) {
            continue;
        }
        let titles: Vec<_> = COLUMNS.iter().map(|(title, _)| *title).collect();
        println!("\n| instructions per selection, {members} members, 4 children | {} |", titles.join(" | "));
        println!("|---{}|", "|---:".repeat(titles.len()));
        for (title, row) in ROWS {
            let mut cells = Vec::new();
            for (_, cookie) in COLUMNS {
                let cookie = cookie.replace("$N", &members.to_string());
                let once = counted(folder.path(), port, members, row, &cookie, 200)?;
                let twice = counted(folder.path(), port, members, row, &cookie, 400)?;
                cells.push(format!("{:.0}", (twice - once) / 200.0));
            }
            println!("| {title} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}

/// Instructions of so many requests, counted in a process of their own.
fn counted(folder: &Path, port: u16, members: usize, row: &str, cookie: &str, times: u32) -> io::Result<f64> {
    let profile = folder.join("profile");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", profile.display()));
    valgrind.args(TOGGLES.map(|name| format!("--toggle-collect=mod_jk::worker::{name}")));
    valgrind.arg(std::env::current_exe()?).args(["work", &port.to_string(), &members.to_string(), row, cookie]);
    let output = valgrind.arg(times.to_string()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = std::fs::read_to_string(profile)?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|text| text.trim().parse().ok()).ok_or_else(|| io::Error::other("a profile without totals"))
}

/// The process that is measured.
fn work(port: usize, members: usize, more: &str, cookie: &str, times: usize) -> io::Result<()> {
    let names: Vec<_> = (1..=members).map(|number| format!("w{number}")).collect();
    let mut text = format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers={}\n{more}", names.join(","));
    for name in &names {
        text.push_str(&format!("worker.{name}.host=127.0.0.1\nworker.{name}.port={port}\n"));
    }
    let (mut properties, mut findings) = (Properties::new(), Vec::new());
    properties.read(text.as_bytes(), "workers.properties", &mut findings);
    let (config, _) = config::build(&properties, &config::Defaults { threads_per_child: 4 });
    let folder = tempfile::tempdir()?;
    let limits =
        Limits { children: 16, shm_file: folder.path().join("shm").display().to_string(), ..Limits::default() };
    let logger = Logger::new(Level::Info, Stamp::local(b""), Arc::new(Nowhere) as Arc<dyn Sink>);
    let runtime = Runtime::new(config, &limits, &logger).map_err(io::Error::other)?;
    let siblings = enter_siblings(&runtime, &logger)?;
    runtime.enter_child(&logger);
    let Some(Worker::Lb(balancer)) = runtime.find(b"lb") else { return Err(io::Error::other("no balancer")) };
    let cookies: &[&[u8]] = if cookie.is_empty() { &[] } else { &[cookie.as_bytes()] };
    let balance = Balance { path: b"/app/page", cookies, ..Balance::default() };
    let log = Log { logger: &logger, context: b"" };
    // The first round opens the connections.
    for _ in 0..members + times {
        let forward =
            ForwardRequest { method: b"GET", protocol: b"HTTP/1.1", uri: b"/app/page", ..ForwardRequest::default() };
        let (mut request, mut trail) = (Request::new(&forward, BodyKind::None), Trail::default());
        let result = balancer.service(&mut request, &mut Client, &balance, log, &mut trail);
        result.map_err(|failure| io::Error::other(failure.error.to_string()))?;
    }
    drop(siblings);
    runtime.leave_child();
    Ok(())
}

/// Other children with an entry in the shared memory: sums of requests in progress go over all of them.
fn enter_siblings(runtime: &Runtime, logger: &Logger) -> io::Result<Vec<(shm_fork::Forked, UnixStream)>> {
    let mut siblings = Vec::new();
    for _ in 0..3 {
        let (mut ours, mut theirs) = UnixStream::pair()?;
        let sibling = shm_fork::fork(|| {
            runtime.enter_child(logger);
            // It reads until it is killed, or until the other end is closed.
            u8::from(theirs.write_all(b"!").and_then(|()| theirs.read_exact(&mut [0])).is_err())
        });
        ours.read_exact(&mut [0])?;
        siblings.push((sibling, ours));
    }
    Ok(siblings)
}

struct Nowhere;

impl Sink for Nowhere {
    fn write_line(&self, _: &[u8]) {}
}

/// A web server that forgets the response.
struct Client;

impl Downstream for Client {
    fn read_body(&mut self, _: &mut [u8]) -> Result<usize, ClientError> {
        Ok(0)
    }
    fn start(&mut self, _: &ResponseHead<'_>) {}
    fn body(&mut self, _: &[u8]) {}
    fn pass(&mut self, _: bool) -> Result<(), ClientError> {
        Ok(())
    }
    fn discard(&mut self) {}
    fn finish(&mut self) -> Result<(), ClientError> {
        Ok(())
    }
    fn queue_header(&mut self, _: Option<&[u8]>) {}
    fn committed(&self) -> bool {
        false
    }
}
