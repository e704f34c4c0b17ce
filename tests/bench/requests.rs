//! `make bench`: what one request costs in httpd, ours beside C mod_jk and mod_proxy_ajp, as a Markdown table. It measures and
//! asserts nothing.
//!
//! Not here: the cost of single functions. The surprising thing: instructions and system calls hardly depend on the machine and
//! may be compared across runs; CPU time does, and is only given as a ratio within interleaved rounds.
//!
//! Arguments, each optional: `instructions`, `calls`, `load` (which tables), `ours`, `c`, `proxy` (which rows), a column's
//! name (`get`, `get-64k`, `post-64k`, `lb`, `mounts`, `unix`), `requests=N`, `rounds=N`, `profiles=FOLDER` (keeps callgrind's files).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod backend;
mod client;
mod measure;
mod server;
#[path = "../support/wait.rs"]
mod wait;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use client::Request;
use server::{Installation, Peer, Server, Setup, Under};

/// Clients at a time under load.
const CONNECTIONS: usize = 16;

/// A column of the tables.
#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    title: &'static str,
    setup: Setup,
    method: &'static str,
    path: &'static str,
    body: usize,
}

impl Column {
    fn request(&self) -> Request {
        Request::new(self.method, self.path, self.body)
    }
}

const COLUMNS: [Column; 6] = [
    column("get", "GET 1 KiB", Setup::Plain),
    Column { path: "/app/large", ..column("get-64k", "GET 64 KiB", Setup::Plain) },
    Column { method: "POST", body: 65_536, ..column("post-64k", "POST 64 KiB", Setup::Plain) },
    column("lb", "GET 1 KiB, lb of 4", Setup::Balanced),
    column("mounts", "GET 1 KiB, 1,000 mounts", Setup::Mounts),
    column("unix", "GET 1 KiB, Unix socket", Setup::Unix),
];

const fn column(name: &'static str, title: &'static str, setup: Setup) -> Column {
    Column { name, title, setup, method: "GET", path: "/app/small", body: 0 }
}

const ROWS: [(&str, &str, Peer); 3] =
    [("c", "C mod_jk (Debian)", Peer::C), ("proxy", "mod_proxy_ajp", Peer::Proxy), ("ours", "this module", Peer::Ours)];

/// What the command line asks for.
struct Plan {
    words: Vec<String>,
}

impl Plan {
    /// Whether `word`, one of the `group`, is asked for: none of the group means all.
    fn wants(&self, word: &str, mut group: impl Iterator<Item = &'static str>) -> bool {
        let asked = |name: &str| self.words.iter().any(|asked| asked == name);
        asked(word) || !group.any(asked)
    }

    fn table(&self, name: &str) -> bool {
        self.wants(name, ["instructions", "calls", "load"].into_iter())
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, Peer)> {
        ROWS.into_iter().filter(|(name, ..)| self.wants(name, ROWS.iter().map(|(name, ..)| *name)))
    }

    fn columns(&self) -> impl Iterator<Item = Column> {
        COLUMNS.into_iter().filter(|column| self.wants(column.name, COLUMNS.iter().map(|column| column.name)))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str, usual: u32) -> u32 {
        self.value(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
    }
}

/// What all measurements share.
struct Bench {
    plan: Plan,
    installation: Installation,
    backends: Vec<u16>,
    unix: PathBuf,
}

fn main() -> io::Result<()> {
    // cargo adds `--bench`.
    let words = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let folder = tempfile::Builder::new().prefix("mod_jk-bench-socket-").tempdir()?;
    open_to_all(folder.path())?;
    let unix = folder.path().join("ajp.sock");
    backend::start_unix(&unix)?;
    let backends = (0..4).map(|_| backend::start()).collect::<io::Result<_>>()?;
    let bench = Bench { plan: Plan { words }, installation: Installation::find()?, backends, unix };
    if bench.plan.table("instructions") {
        bench.instructions()?;
    }
    if bench.plan.table("calls") {
        bench.calls()?;
    }
    if bench.plan.table("load") {
        bench.load()?;
    }
    Ok(())
}

fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

impl Bench {
    fn server(&self, peer: Peer, column: &Column, under: Under) -> io::Result<Server> {
        Server::start(&self.installation, peer, column.setup, &self.backends, &self.unix, under)
    }

    fn print_head(&self, what: &str) {
        let titles: Vec<_> = self.plan.columns().map(|column| column.title).collect();
        println!("\n| {what} | {} |", titles.join(" | "));
        println!("|---{}|", "|---:".repeat(titles.len()));
    }

    /// Prints one row; what a peer cannot do is a dash.
    fn print_row(&self, title: &str, peer: Peer, cell: impl Fn(&Column) -> io::Result<String>) -> io::Result<()> {
        let mut cells = Vec::new();
        for column in self.plan.columns() {
            let possible = column.setup != Setup::Unix || peer == Peer::Ours;
            cells.push(if possible { cell(&column)? } else { "-".to_owned() });
        }
        println!("| {title} | {} |", cells.join(" | "));
        Ok(())
    }

    fn instructions(&self) -> io::Result<()> {
        let times = self.plan.number("requests", 300);
        self.print_head("user-space instructions in httpd per request");
        for (name, title, peer) in self.plan.rows() {
            self.print_row(title, peer, |column| {
                let server = self.server(peer, column, Under::Callgrind)?;
                let keep =
                    self.plan.value("profiles").map(|folder| Path::new(folder).join(format!("{name}-{}", column.name)));
                let each = measure::instructions(&server, &column.request(), times, keep.as_deref())?;
                Ok(grouped(each))
            })?;
        }
        Ok(())
    }

    fn calls(&self) -> io::Result<()> {
        let times = self.plan.number("requests", 300);
        self.print_head("system calls in httpd per request, without futex (futex)");
        let mut details = Vec::new();
        for (name, title, peer) in self.plan.rows() {
            let seen = std::cell::RefCell::new(&mut details);
            self.print_row(title, peer, |column| {
                let server = self.server(peer, column, Under::Nothing)?;
                let calls = measure::calls(&server, &column.request(), times)?;
                let names = calls.by_name.iter().filter(|(_, count)| *count >= 0.05);
                let names: Vec<_> = names.map(|(name, count)| format!("{name} {count:.1}")).collect();
                seen.borrow_mut().push(format!("{name}, {}: {}", column.name, names.join(", ")));
                Ok(format!("{:.1} ({:.1})", calls.all - calls.futex, calls.futex))
            })?;
        }
        println!();
        details.iter().for_each(|line| println!("{line}"));
        Ok(())
    }

    fn load(&self) -> io::Result<()> {
        // Many short rounds: what slows the machine for a while slows all of a round.
        let (rounds, times) = (self.plan.number("rounds", 21), self.plan.number("requests", 100));
        let mut spent: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        for column in self.plan.columns() {
            let mut servers = Vec::new();
            for (name, _, peer) in
                self.plan.rows().filter(|(.., peer)| column.setup != Setup::Unix || *peer == Peer::Ours)
            {
                servers.push((name, self.server(peer, &column, Under::Nothing)?));
            }
            for _ in 0..rounds {
                for (name, server) in &servers {
                    let each = measure::cpu(server, &column.request(), CONNECTIONS, times)?;
                    spent.entry((name, column.name)).or_default().push(each);
                }
            }
        }
        let median = |row: &str, column: &str| spent.get(&(row, column)).map(|all| middle(all));
        self.print_head("microseconds of httpd CPU per request, 16 connections (median of interleaved rounds)");
        for (name, title, peer) in self.plan.rows() {
            self.print_row(title, peer, |column| {
                Ok(median(name, column.name).map_or_else(|| "-".to_owned(), |each| format!("{each:.1}")))
            })?;
        }
        self.print_row("this module, ratio to the better peer", Peer::Ours, |column| {
            Ok(ratio(&spent, column.name).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")))
        })
    }
}

/// Median of the rounds' ratios of ours to the better peer, which is the one with the smaller median: the smaller of each round would be
/// the one that was lucky.
fn ratio(spent: &BTreeMap<(&str, &str), Vec<f64>>, column: &str) -> Option<f64> {
    let of = |row: &'static str| spent.get(&(row, column));
    let (ours, c, proxy) = (of("ours")?, of("c")?, of("proxy")?);
    let better = if middle(c) <= middle(proxy) { c } else { proxy };
    let ratios: Vec<f64> = ours.iter().zip(better).map(|(ours, better)| ours / better).collect();
    Some(middle(&ratios))
}

fn middle(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
