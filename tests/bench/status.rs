//! `cargo bench --bench status`: what an answer of the status worker costs with 1,000 members, by format. It measures and asserts
//! nothing.
//!
//! Not here: httpd's part, which is the same for every answer of that size. The surprising thing: the least of many rounds is printed,
//! too, because it is what the code needs; the rest is what else the machine does.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a program for the terminal"
)]
#![allow(dead_code, reason = "the desk has more than this needs")]

#[path = "../support/desk.rs"]
mod desk;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use desk::Desk;

const MEMBERS: usize = 1_000;
const ROUNDS: usize = 200;

fn main() {
    let names: Vec<String> = (1..=MEMBERS).map(|number| format!("tomcat{number:04}")).collect();
    let mut text = format!(
        "worker.list=lb,st\nworker.st.type=status\nworker.lb.type=lb\nworker.lb.balance_workers={}\n",
        names.join(",")
    );
    for (index, name) in names.iter().enumerate() {
        writeln!(text, "worker.{name}.host=10.0.{}.{}\nworker.{name}.reference=worker.t", index / 250, index % 250 + 1)
            .unwrap();
    }
    text.push_str("worker.t.socket_timeout=60\nworker.t.reply_timeout=30000\nworker.t.connect_timeout=5000\n");
    let desk = Desk::of(&text).mount("/app/*", "lb");
    for name in &names {
        let ajp = desk.ajp(name);
        ajp.used.set(123_456);
        for bit in 0..24 {
            ajp.response_time.record(1_000 << bit);
            ajp.first_byte_time.record(1_000 << bit);
        }
    }
    println!("| answer, {MEMBERS} members | bytes | least ms | median ms |\n|---|---:|---:|---:|");
    for mime in ["prom", "json", "txt", "xml", "prop", "html"] {
        let query = format!("mime={mime}");
        let mut times: Vec<Duration> = (0..ROUNDS).map(|_| timed(&desk, &query)).collect();
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!("| {mime} | {} | {:.2} | {:.2} |", desk.ask(&query).len(), ms(times[0]), ms(times[ROUNDS / 2]));
    }
}

fn timed(desk: &Desk, query: &str) -> Duration {
    let start = Instant::now();
    std::hint::black_box(desk.page(query));
    start.elapsed()
}
