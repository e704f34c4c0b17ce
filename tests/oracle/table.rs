//! The judgement: both modules side by side, one row per case: same, explained by a named paragraph, or DIFFERENT.
//!
//! Not here: how results come about (`run.rs`). The surprising thing: an explained case fails as well when its difference has
//! gone, or is another one than was written down.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::support::httpd::built_module;

use super::case::Group;
use super::run::run;

/// The fewest cases a whole run may have.
const FEWEST: usize = 300;

/// The differences that are meant. Each begins with a line `[group: case] paragraph`, and then has exactly the lines that differ.
const EXPLAINED: &str = include_str!("explained.txt");

struct Explained {
    case: String,
    paragraph: String,
    lines: String,
}

fn explained() -> Vec<Explained> {
    let mut all: Vec<Explained> = Vec::new();
    for line in EXPLAINED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((case, paragraph)) = line.strip_prefix('[').and_then(|line| line.rsplit_once("] ")) {
            all.push(Explained { case: case.to_owned(), paragraph: paragraph.to_owned(), lines: String::new() });
        } else {
            let last = all.last_mut().expect("explained.txt begins with a case");
            writeln!(last.lines, "{line}").unwrap();
        }
    }
    all
}

/// Runs all groups, prints the table, and fails unless every row is the same or explained.
pub(crate) fn judge(groups: Vec<Group>) {
    let only = std::env::var("ORACLE_ONLY").unwrap_or_default();
    let (group_only, case_only) = only.split_once('/').unwrap_or((&only, ""));
    let mut explained = explained();
    let (mut table, mut trouble, mut counts) = (String::new(), String::new(), [0_usize; 3]);
    for mut group in groups {
        if !group.name.contains(group_only) {
            continue;
        }
        group.cases.retain(|case| case.name.contains(case_only));
        for (case, difference) in group.cases.iter().zip(compared(&group)) {
            let name = format!("{}: {}", group.name, case.name);
            let meant = explained.iter().position(|entry| entry.case == name).map(|at| explained.remove(at));
            let (row, index) = verdict(meant.as_ref(), &difference);
            counts[index] += 1;
            writeln!(table, "{:<12} {:<58} {row}", group.name, case.name).unwrap();
            if index == 2 {
                writeln!(trouble, "\n[{name}] {}", meant.map_or(String::new(), |entry| entry.paragraph)).unwrap();
                trouble.push_str(&difference);
            }
        }
    }
    let total: usize = counts.iter().sum();
    writeln!(table, "{total} cases: {} same, {} explained, {} DIFFERENT", counts[0], counts[1], counts[2]).unwrap();
    println!("{table}{trouble}");
    assert!(counts[2] == 0, "{} of {total} cases differ and are not explained:\n{trouble}", counts[2]);
    if only.is_empty() {
        let left: Vec<_> = explained.iter().map(|entry| &entry.case).collect();
        assert!(left.is_empty(), "explained, but there are no such cases: {left:?}");
        assert!(total >= FEWEST, "only {total} cases, at least {FEWEST} are wanted");
    }
}

fn verdict(meant: Option<&Explained>, difference: &str) -> (String, usize) {
    match meant {
        None if difference.is_empty() => ("same".to_owned(), 0),
        Some(meant) if meant.lines == difference => (format!("explained by {}", meant.paragraph), 1),
        _ => ("DIFFERENT".to_owned(), 2),
    }
}

/// The lines that differ, for each case.
fn compared(group: &Group) -> Vec<String> {
    let (c, rust) = std::thread::scope(|scope| {
        let c = scope.spawn(|| run(group, &c_module()));
        let rust = run(group, &built_module());
        (c.join().expect("the C side runs"), rust)
    });
    c.iter().zip(&rust).map(|(c, rust)| difference(c, rust)).collect()
}

fn c_module() -> PathBuf {
    let path = std::env::var_os("ORACLE_C_MODULE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracle/mod_jk.so"), PathBuf::from);
    assert!(path.exists(), "no C module at {}: make oracle fetches it", path.display());
    path
}

/// Longest common subsequence; what is not in it, `C ...` and `R ...` in order.
fn difference(c: &[String], rust: &[String]) -> String {
    let mut length = vec![vec![0_usize; rust.len() + 1]; c.len() + 1];
    for i in (0..c.len()).rev() {
        for j in (0..rust.len()).rev() {
            length[i][j] =
                if c[i] == rust[j] { length[i + 1][j + 1] + 1 } else { length[i + 1][j].max(length[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < c.len() || j < rust.len() {
        if i < c.len() && j < rust.len() && c[i] == rust[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < c.len() && (j == rust.len() || length[i + 1][j] >= length[i][j + 1]) {
            writeln!(text, "C {}", c[i]).unwrap();
            i += 1;
        } else {
            writeln!(text, "R {}", rust[j]).unwrap();
            j += 1;
        }
    }
    text
}

#[test]
fn difference_is_what_only_one_side_has() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(difference(&lines("a b c"), &lines("a b c")), "");
    assert_eq!(difference(&lines("a b c d"), &lines("a x c d e")), "C b\nR x\nR e\n");
}
