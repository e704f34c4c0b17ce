//! The rules of this tree as tests: what a reviewer would say twice stands here once.
//!
//! Not here: what rustc and clippy check already (`[lints]` in Cargo.toml). The surprising thing: nothing is parsed. A rule sees
//! the text and the same text with comments and literals blanked out, byte for byte in the same places, so that the word
//! `unsafe` in a comment is not unsafe code. Each rule has a second test that shows it a made-up bad file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails here has done its work"
)]

use std::fs;
use std::path::Path;

/// Most lines of a source file before its test module.
const MAX_FILE_LINES: usize = 600;
/// Most lines of a function, its signature included.
const MAX_FUNCTION_LINES: usize = 70;

/// Which rooms a room may import (drawn in src/lib.rs). A room that is not here has no right to exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("ajp", &[]),
    ("properties", &[]),
    ("balancer", &[]),
    ("log", &[]),
    ("request_log", &[]),
    ("config", &["properties", "balancer"]),
    ("uri_map", &["properties", "balancer"]),
    ("shm", &["config", "balancer"]),
    ("worker", &["ajp", "balancer", "config", "shm", "log"]),
    ("status", &["worker", "shm", "config", "uri_map", "balancer", "log"]),
    (
        "runtime",
        &["ajp", "properties", "balancer", "log", "request_log", "config", "uri_map", "shm", "worker", "status"],
    ),
    (
        "apache",
        &[
            "ajp",
            "properties",
            "balancer",
            "log",
            "request_log",
            "config",
            "uri_map",
            "shm",
            "worker",
            "status",
            "runtime",
        ],
    ),
];
/// Macros live at the root of a crate whatever file defines them.
const MACROS: &[(&str, &str)] = &[("log_at", "log")];
/// Rooms that get the time as an argument, and know no sockets and no files.
const PURE_ROOMS: &[&str] = &["ajp", "properties", "balancer", "request_log", "config", "uri_map"];
/// What a pure room never says.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::fs",
    "socket2::",
    "rustix::",
    "libc::",
];
/// Rooms that may contain unsafe code.
const UNSAFE_ROOMS: &[&str] = &["apache", "shm"];
/// Rows of the fault catalogue (reference: ajp-side.md section 11).
const CATALOGUE_ROWS: usize = 132;
/// Names that say nothing about what a file holds.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "misc"];

/// A text file of the tree.
struct Source {
    /// From the top of the tree, with `/`.
    path: String,
    text: String,
    /// `text` with comments and literals blanked out, byte for byte; of other languages than Rust, `text`.
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { blanked(text) } else { text.to_owned() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    fn is_rust_in(&self, folder: &str) -> bool {
        self.path.ends_with(".rs") && self.path.starts_with(folder)
    }

    /// The room of a file of src/; none for lib.rs.
    fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let room = rest.split_once('/').map_or_else(|| rest.strip_suffix(".rs"), |(room, _)| Some(room))?;
        (room != "lib").then_some(room)
    }

    fn is_in(&self, rooms: &[&str]) -> bool {
        self.room().is_some_and(|room| rooms.contains(&room))
    }

    /// Where the tests begin: all of tests/ and of a test module's own file (tests.rs, ..._tests.rs), else the test module; the
    /// end of the file if it has none.
    fn tests_at(&self) -> usize {
        if self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs") {
            return 0;
        }
        self.code
            .match_indices("#[cfg(test)]")
            .map(|(at, _)| at)
            .find(|at| {
                let item =
                    self.code[*at..].split_inclusive(']').skip(1).find(|rest| !rest.trim_start().starts_with("#["));
                item.is_some_and(|item| {
                    ["mod ", "pub mod ", "pub(crate) mod "].iter().any(|word| item.trim_start().starts_with(word))
                })
            })
            .unwrap_or(self.code.len())
    }

    fn line_of(&self, at: usize) -> usize {
        self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn finding(&self, at: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{}: {what}", self.path, self.line_of(at))
    }

    /// Where `word` stands in the code, not as part of a longer word.
    fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let code = self.code.as_bytes();
        let open = word.ends_with(|last: char| !last.is_alphanumeric());
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            !part(at.checked_sub(1).and_then(|before| code.get(before))) && (open || !part(code.get(at + word.len())))
        })
    }

    /// The functions with a body: where their `fn` stands, and their bodies' ranges.
    fn functions(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
        self.words("fn ").filter_map(|at| {
            let open = at + self.code[at..].find(['{', ';'])?;
            self.code[open..].starts_with('{').then_some(())?;
            Some((at, open..closing(&self.code, open)))
        })
    }
}

/// The place after the brace that closes the one at `open`; the end of the text if there is none.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return offset + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// `text` with the bytes of comments and literals replaced by blanks; newlines stay.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).unwrap()
}

/// The end of the comment or literal that begins at `at`; `at` itself if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |from: usize, end: &[u8]| {
        (at + from..bytes.len())
            .find(|place| bytes[*place..].starts_with(end))
            .map_or(bytes.len(), |place| place + end.len())
    };
    let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| at + newline),
        [b'/', b'*', ..] => block_comment_end(bytes, at),
        [b'"', ..] => quoted_end(bytes, at),
        [b'r', b'#' | b'"', ..] if !after_word || bytes[at - 1] == b'b' || bytes[at - 1] == b'c' => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            match rest.get(1 + hashes) {
                Some(b'"') => find(hashes + 2, &[b"\"".as_slice(), &vec![b'#'; hashes]].concat()),
                _ => at,
            }
        }
        [b'\'', b'\\', ..] => find(3, b"'"),
        // A character, not a lifetime: it ends with a quote after one character of one to four bytes.
        [b'\'', ..] => {
            let width =
                std::str::from_utf8(&rest[1..]).ok().and_then(|text| text.chars().next()).map_or(1, char::len_utf8);
            if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        _ => at,
    }
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut place) = (0_usize, at);
    while place < bytes.len() {
        match &bytes[place..] {
            [b'/', b'*', ..] => (depth, place) = (depth + 1, place + 2),
            [b'*', b'/', ..] if depth == 1 => return place + 2,
            [b'*', b'/', ..] => (depth, place) = (depth - 1, place + 2),
            _ => place += 1,
        }
    }
    place
}

fn quoted_end(bytes: &[u8], at: usize) -> usize {
    let mut place = at + 1;
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 2,
            b'"' => return place + 1,
            _ => place += 1,
        }
    }
    bytes.len()
}

/// All text files of the tree but what tools put there.
fn tree() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![top.to_path_buf()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path().strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            let name = entry.file_name().into_string().unwrap();
            let kind = entry.file_type().unwrap();
            let skipped = name == "target"
                || path.starts_with("tests/fuzz/") && ["corpus", "artifacts", "coverage"].contains(&&*name);
            let hidden = name.starts_with('.') && name != ".ci" && name != ".gitignore";
            if kind.is_dir() && !skipped && !hidden {
                folders.push(entry.path());
            } else if kind.is_file() && !hidden {
                let bytes = fs::read(entry.path()).unwrap();
                if !bytes.contains(&0) {
                    // What is not UTF-8 is not ASCII either, and is found as such.
                    sources.push(Source::new(&path, &String::from_utf8_lossy(&bytes)));
                }
            }
        }
    }
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the tree was not found");
    sources
}

fn assert_tidy(rule: fn(&Source, &[Source]) -> Vec<String>) {
    let sources = tree();
    let findings: Vec<String> = sources.iter().flat_map(|source| rule(source, &sources)).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Shows `rule` a file and expects findings in these lines.
#[track_caller]
fn assert_bites(rule: fn(&Source, &[Source]) -> Vec<String>, path: &str, text: &str, lines: &[usize]) {
    let source = [Source::new(path, text)];
    let findings = rule(&source[0], &source);
    let found: Vec<usize> =
        findings.iter().map(|finding| finding.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(found, lines, "{path}: {text}\n{findings:?}");
}

// The rules.

fn arrows(source: &Source, all: &[Source]) -> Vec<String> {
    let Some(room) = source.room().filter(|_| source.is_rust_in("src/")) else { return Vec::new() };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        return vec![source.finding(0, format_args!("src/{room} is not in the table of rooms"))];
    };
    let mut findings = Vec::new();
    for at in source.words("crate::") {
        for (at, name) in heads(&source.code, at + "crate::".len()) {
            let name = MACROS.iter().find(|(exported, _)| *exported == name).map_or(name, |(_, home)| home);
            if name != room && !allowed.contains(&name) {
                findings.push(source.finding(at, format_args!("{room} may not import crate::{name}")));
            }
        }
    }
    // `super` reaches other rooms too, but inside a room a file may bear the name of one (worker/ajp.rs).
    for at in source.words("super::") {
        for (at, name) in heads(&source.code, at + "super::".len()) {
            let inside = |file: &Source| file.path == format!("src/{room}/{name}.rs");
            if name != room
                && ARROWS.iter().any(|(other, _)| *other == name)
                && !all.iter().any(inside)
                && !allowed.contains(&name)
            {
                findings.push(source.finding(at, format_args!("{room} may not reach {name} through super")));
            }
        }
    }
    findings
}

/// The first names of the paths at `at`: one, or those of a `{group}`.
fn heads(code: &str, at: usize) -> Vec<(usize, &str)> {
    let name = |at: usize| {
        let at = at + code[at..].len() - code[at..].trim_start().len();
        let len = code[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len() - at);
        (at, &code[at..at + len])
    };
    if !code[at..].starts_with('{') {
        return vec![name(at)];
    }
    let end = closing(code, at);
    let mut depth = 0;
    let mut starts = vec![at + 1];
    for (offset, byte) in code.bytes().enumerate().take(end).skip(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => starts.push(offset + 1),
            _ => {}
        }
    }
    starts.into_iter().map(name).filter(|(_, name)| !name.is_empty()).collect()
}

fn purity(source: &Source, _: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    let tests_at = source.tests_at();
    let worker_only_in_socket: &[&str] = &["socket2::", "rustix::"];
    let forbidden = match source.room() {
        Some(room) if PURE_ROOMS.contains(&room) => IMPURE,
        Some("worker") if source.path != "src/worker/socket.rs" => worker_only_in_socket,
        _ => &[],
    };
    for word in forbidden {
        for at in source.words(word).filter(|at| *at < tests_at) {
            findings.push(source.finding(at, format_args!("{word} does not belong here")));
        }
    }
    findings
}

fn unsafe_rooms(source: &Source, _: &[Source]) -> Vec<String> {
    if !source.is_rust_in("src/") || source.is_in(UNSAFE_ROOMS) {
        return Vec::new();
    }
    let places = source.words("unsafe").chain(source.words("unsafe_code"));
    places.map(|at| source.finding(at, format_args!("unsafe code lives in {UNSAFE_ROOMS:?} only"))).collect()
}

fn reasons(source: &Source, _: &[Source]) -> Vec<String> {
    let allows = ["allow(", "expect("].into_iter().flat_map(|word| source.words(word).map(move |at| (at, word)));
    let attributes = allows.filter(|(at, _)| source.code[..*at].ends_with("#[") || source.code[..*at].ends_with("#!["));
    attributes
        .filter(|(at, _)| {
            let attribute = source.code[*at..].split(")]").next().unwrap_or_default();
            source.path.ends_with(".rs") && !attribute.contains("reason")
        })
        .map(|(at, _)| source.finding(at, "a lint is lifted without a reason"))
        .collect()
}

fn opening(source: &Source, _: &[Source]) -> Vec<String> {
    let wanted = source.is_rust_in("src/") || source.is_rust_in("tests/");
    if !wanted || source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![source.finding(0, "the file does not open with //!")]
}

fn sizes(source: &Source, _: &[Source]) -> Vec<String> {
    if !source.is_rust_in("src/") {
        return Vec::new();
    }
    let tests_at = source.tests_at();
    let mut findings = Vec::new();
    let lines = source.text[..tests_at].lines().count();
    if lines > MAX_FILE_LINES {
        findings.push(source.finding(0, format_args!("{lines} lines before the tests, at most {MAX_FILE_LINES}")));
    }
    for (at, body) in source.functions().filter(|(at, _)| *at < tests_at) {
        let lines = source.line_of(body.end - 1) - source.line_of(at) + 1;
        if lines > MAX_FUNCTION_LINES {
            findings
                .push(source.finding(at, format_args!("a function of {lines} lines, at most {MAX_FUNCTION_LINES}")));
        }
    }
    findings
}

fn names(source: &Source, _: &[Source]) -> Vec<String> {
    let rust = source.is_rust_in("src/") || source.is_rust_in("tests/");
    let empty = |part: &str| EMPTY_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part));
    if rust && source.path.split('/').any(empty) {
        return vec![source.finding(0, "the name does not say what the file holds")];
    }
    Vec::new()
}

fn guards(source: &Source, _: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    if source.is_rust_in("src/apache/") {
        for (at, body) in source.functions() {
            // The "C" between `extern` and `fn` is blanked out; the text still has it.
            let callback = source.code[..at].trim_end().ends_with("extern");
            if callback && !source.code[body].contains("guard(") {
                findings.push(source.finding(at, "a callback of httpd without guard("));
            }
        }
    }
    if source.is_rust_in("src/") && source.path != "src/apache/guard.rs" {
        findings.extend(source.words("catch_unwind").map(|at| source.finding(at, "catch_unwind belongs to guard.rs")));
    }
    findings
}

fn unfinished(source: &Source, _: &[Source]) -> Vec<String> {
    let words: &[&str] =
        if source.is_rust_in("src/") { &["todo!", "unimplemented!", "dbg!", "println!", "print!"] } else { &[] };
    let places = words.iter().flat_map(|word| source.words(word).map(move |at| (at, word)));
    places.map(|(at, word)| source.finding(at, format_args!("{word} is for work in progress"))).collect()
}

fn module_list(source: &Source, _: &[Source]) -> Vec<String> {
    if source.path != "src/lib.rs" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut at = 0;
    for line in source.code.split_inclusive('\n') {
        let code = line.trim();
        let module = code.ends_with(';') && (code.starts_with("mod ") || code.starts_with("pub mod "));
        if !code.is_empty() && !module && !code.starts_with('#') {
            findings.push(source.finding(at, "lib.rs is the list of modules and nothing else"));
        }
        at += line.len();
    }
    findings
}

fn ascii(source: &Source, _: &[Source]) -> Vec<String> {
    if source.path.starts_with("tests/data/") {
        return Vec::new();
    }
    let place = source.text.find(|character: char| !character.is_ascii());
    place.map(|at| source.finding(at, "not ASCII")).into_iter().collect()
}

fn machine_paths(source: &Source, _: &[Source]) -> Vec<String> {
    // Put together here, so that this file does not contain what it forbids. Recorded data may name a user's home.
    let everywhere = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let outside_data = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let data = source.path.starts_with("tests/data/");
    let wanted = everywhere.into_iter().chain(outside_data.into_iter().filter(|_| !data));
    wanted
        .flat_map(|path| source.text.match_indices(path))
        .filter(|(at, _)| {
            source.text[..*at].ends_with(|c: char| c.is_whitespace() || "\"'`=(<[,;:|>".contains(c)) || *at == 0
        })
        .map(|(at, path)| source.finding(at, format_args!("{path} is a path of some developer's machine")))
        .collect()
}

fn dependencies(source: &Source, _: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    let (mut inside, mut at) = (false, 0);
    for line in source.text.split_inclusive('\n').filter(|_| source.path.ends_with("Cargo.toml")) {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with("dependencies]");
        }
        let entry = inside && line.starts_with(|c: char| c.is_ascii_alphanumeric());
        if entry && !line.contains('#') {
            findings.push(source.finding(at, "a dependency without a reason beside it"));
        }
        at += line.len();
    }
    findings
}

fn test_style(source: &Source, _: &[Source]) -> Vec<String> {
    if !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let tests_at = source.tests_at();
    let mut findings = Vec::new();
    for (at, _) in source.functions().filter(|(at, _)| *at >= tests_at) {
        let before = source.code[..at].rsplit([';', '}', '{']).next().unwrap_or_default();
        if before.contains("#[test]") && source.code[at..].starts_with("fn test_") {
            findings.push(source.finding(at, "a test's name is a claim and does not begin with test_"));
        }
    }
    for (word, why) in [
        ("ignore", "a test is mended or deleted, not ignored"),
        ("should_panic", "a test asserts what it expects; a panic proves nothing"),
    ] {
        let attribute = |at: &usize| source.code[..*at].ends_with("#[");
        findings.extend(source.words(word).filter(attribute).map(|at| source.finding(at, why)));
    }
    if source.path != "tests/support/wait.rs" {
        let sleeps = source.words("sleep(").filter(|at| *at >= tests_at);
        findings.extend(sleeps.map(|at| source.finding(at, "wait for a condition: tests/support/wait.rs")));
    }
    findings
}

// The tree keeps them.

/// The fault catalogue names a test for each of its rows, and each of these tests exists.
fn catalogue(source: &Source, all: &[Source]) -> Vec<String> {
    if source.path != "tests/data/ajp/catalogue.txt" {
        return Vec::new();
    }
    let claims = |name: &str| {
        let function = format!("fn {name}(");
        all.iter().any(|source| source.path.ends_with(".rs") && source.code.contains(&function))
    };
    let (mut findings, mut at, mut rows) = (Vec::new(), 0, 0);
    for line in source.text.split_inclusive('\n') {
        if !line.starts_with('#') {
            rows += 1;
            let (row, tests) = line.split_once('|').unwrap_or((line, ""));
            if !row.starts_with(&format!("{rows} ")) || tests.trim().is_empty() {
                findings.push(source.finding(at, format_args!("expected row {rows} and its tests")));
            }
            let missing = tests.split_whitespace().filter(|name| !claims(name));
            findings.extend(missing.map(|name| source.finding(at, format_args!("there is no test {name}"))));
        }
        at += line.len();
    }
    if rows != CATALOGUE_ROWS {
        findings.push(source.finding(0, format_args!("{rows} rows of {CATALOGUE_ROWS}")));
    }
    findings
}

#[test]
fn rooms_import_along_the_arrows_only() {
    assert_tidy(arrows);
}

#[test]
fn pure_rooms_know_no_clock_and_no_socket() {
    assert_tidy(purity);
}

#[test]
fn unsafe_code_is_in_its_two_rooms() {
    assert_tidy(unsafe_rooms);
}

#[test]
fn lifted_lints_say_why() {
    assert_tidy(reasons);
}

#[test]
fn files_open_with_what_they_are() {
    assert_tidy(opening);
}

#[test]
fn files_and_functions_are_short() {
    assert_tidy(sizes);
}

#[test]
fn files_are_named_by_what_they_hold() {
    assert_tidy(names);
}

#[test]
fn callbacks_go_through_the_guard() {
    assert_tidy(guards);
}

#[test]
fn nothing_is_left_unfinished() {
    assert_tidy(unfinished);
}

#[test]
fn lib_is_the_list_of_modules() {
    assert_tidy(module_list);
}

#[test]
fn text_is_ascii() {
    assert_tidy(ascii);
}

#[test]
fn no_file_names_a_developers_machine() {
    assert_tidy(machine_paths);
}

#[test]
fn dependencies_say_why() {
    assert_tidy(dependencies);
}

#[test]
fn fault_catalogue_has_a_test_for_each_row() {
    assert!(tree().iter().any(|source| source.path == "tests/data/ajp/catalogue.txt"));
    assert_tidy(catalogue);
}

#[test]
fn tests_are_claims_without_sleeps() {
    assert_tidy(test_style);
}

// The rules bite.

#[test]
fn blanking_keeps_code_and_hides_comments_and_literals() {
    let rows = [
        ("a // unsafe\nb", "a          \nb"),
        ("a /* x /* y */ z */ b", "a                   b"),
        (r#"f("a\"b") + c"#, r#"f(      ) + c"#),
        (r##"f(r#"a"b"#, d)"##, "f(        , d)"),
        (r#"f(br"a\", d)"#, "f(b     , d)"),
        (r"f('a', '\'', b'x')", "f(   ,     , b   )"),
        ("f<'a>(x: &'a str)", "f<'a>(x: &'a str)"),
        ("r#type", "r#type"),
        ("\"two\nlines\" c", "    \n       c"),
    ];
    for (text, code) in rows {
        assert_eq!(blanked(text).trim_end(), code.trim_end(), "{text}");
    }
}

#[test]
fn arrows_bite() {
    assert_bites(arrows, "src/ajp/packet.rs", "use crate::worker::Request;", &[1]);
    assert_bites(arrows, "src/balancer/mod.rs", "\nfn f() { crate::shm::lock() }", &[2]);
    assert_bites(
        arrows,
        "src/config/mod.rs",
        "use crate::{\n  balancer::{Lock, Method},\n  log,\n  properties,\n};",
        &[3],
    );
    assert_bites(arrows, "src/uri_map/mod.rs", "use super::config::Config;", &[1]);
    assert_bites(arrows, "src/request_log.rs", "crate::log_at!(x)", &[1]);
    assert_bites(arrows, "src/runtime.rs", "use crate::apache::guard;", &[1]);
    assert_bites(arrows, "src/extra.rs", "", &[1]);
    assert_bites(
        arrows,
        "src/worker/lb.rs",
        "use crate::{ajp, log::log_at, shm};\nuse super::pool; // crate::status",
        &[],
    );
    let inside = [Source::new("src/status/mod.rs", "use super::ajp;"), Source::new("src/status/ajp.rs", "")];
    assert_eq!(arrows(&inside[0], &inside), Vec::<String>::new());
}

#[test]
fn purity_bites() {
    assert_bites(purity, "src/ajp/exchange.rs", "let now =\nInstant::now();", &[2]);
    assert_bites(purity, "src/config/build.rs", "use std::net::{IpAddr, ToSocketAddrs};", &[1]);
    assert_bites(purity, "src/config/build.rs", "use std::net::IpAddr;", &[]);
    assert_bites(purity, "src/worker/pool.rs", "use rustix::event;", &[1]);
    assert_bites(purity, "src/worker/socket.rs", "use rustix::event;", &[]);
    assert_bites(purity, "src/config/mod.rs", "#[cfg(test)]\nmod tests {\n use std::fs;\n}", &[]);
}

#[test]
fn unsafe_rooms_bite() {
    assert_bites(unsafe_rooms, "src/worker/pool.rs", "x\nunsafe { y() }", &[2]);
    assert_bites(unsafe_rooms, "src/log.rs", "#![allow(unsafe_code, reason = \"z\")]", &[1]);
    assert_bites(unsafe_rooms, "src/shm/slot.rs", "unsafe { y() }", &[]);
    assert_bites(unsafe_rooms, "src/log.rs", "// unsafe\nlet a = \"unsafe\";", &[]);
}

#[test]
fn reasons_bite() {
    assert_bites(reasons, "src/log.rs", "#![allow(dead_code)]\n#[expect(\n clippy::x,\n)]\n", &[1, 2]);
    assert_bites(reasons, "src/log.rs", "#[allow(dead_code, reason = \"a (b)] c\")]\nx.expect(y)", &[]);
}

#[test]
fn opening_bites() {
    assert_bites(opening, "src/log.rs", "// x\n//! y", &[1]);
    assert_bites(opening, "tests/core/shm.rs", "use x;", &[1]);
    assert_bites(opening, "src/log.rs", "//! y", &[]);
}

#[test]
fn sizes_bite() {
    let tests = "#[cfg(test)]\n#[allow(x, reason = \"y\")]\nmod tests {}\n";
    assert_bites(sizes, "src/log.rs", &"\n".repeat(MAX_FILE_LINES + 1), &[1]);
    assert_bites(sizes, "src/log.rs", &("\n".repeat(MAX_FILE_LINES) + tests + &"\n".repeat(MAX_FILE_LINES)), &[]);
    assert_bites(sizes, "src/log.rs", &format!("\nfn f() {{\n{}}}", "\n".repeat(MAX_FUNCTION_LINES - 1)), &[2]);
    assert_bites(sizes, "src/log.rs", &format!("\nfn f() {{\n{}}}", "\n".repeat(MAX_FUNCTION_LINES - 2)), &[]);
    // A test-only helper before the test module does not end the count.
    assert_bites(
        sizes,
        "src/log.rs",
        &(String::from("#[cfg(test)]\nfn f() {}\n") + &"\n".repeat(MAX_FILE_LINES)),
        &[1],
    );
}

#[test]
fn names_bite() {
    assert_bites(names, "src/worker/utils.rs", "", &[1]);
    assert_bites(names, "tests/common/peer.rs", "", &[1]);
    assert_bites(names, "src/worker/pool.rs", "", &[]);
}

#[test]
fn guards_bite() {
    let bare = "unsafe extern \"C\" fn handler(r: *mut R) -> c_int {\n serve(r)\n}";
    assert_bites(guards, "src/apache/hooks.rs", bare, &[1]);
    assert_bites(
        guards,
        "src/apache/hooks.rs",
        &bare.replace("serve(r)", "guard(\"handler\", s, 500, || serve(r))"),
        &[],
    );
    assert_bites(guards, "src/apache/hooks.rs", &bare.replace("serve(r)", "serve(r) // guard("), &[1]);
    assert_bites(guards, "src/apache/hooks.rs", "type F = extern \"C\" fn(c_int) -> c_int;\nfn f() {}", &[]);
    assert_bites(guards, "src/worker/mod.rs", "use std::panic::catch_unwind;", &[1]);
    assert_bites(guards, "src/apache/guard.rs", "use std::panic::catch_unwind;", &[]);
}

#[test]
fn unfinished_bites() {
    assert_bites(unfinished, "src/log.rs", "fn f() {\n todo!() }\nfn g() { eprintln!() }", &[2]);
}

#[test]
fn module_list_bites() {
    assert_bites(
        module_list,
        "src/lib.rs",
        "//! x\n#![warn(y)]\npub mod ajp;\nmod apache;\npub use ajp::X;\nfn f() {}",
        &[5, 6],
    );
}

#[test]
fn ascii_bites() {
    assert_bites(ascii, "README.md", "a\nb \u{2014} c", &[2]);
    assert_bites(ascii, "tests/data/real.properties", "\u{e9}", &[]);
}

#[test]
fn machine_paths_bite() {
    for path in [concat!("/wo", "rk/x"), concat!("/ro", "ot/.cargo"), concat!("/ho", "me/me"), concat!("/Us", "ers/me")]
    {
        assert_bites(machine_paths, "Makefile", &format!("a\nb = \"{path}\""), &[2]);
        assert_bites(machine_paths, "Makefile", path, &[1]);
        assert_bites(machine_paths, "Makefile", &format!("$(TOP){path} a{path}"), &[]);
    }
    assert_bites(machine_paths, "tests/data/a.conf", concat!("/wo", "rk/x\n /ho", "me/tomcat"), &[1]);
}

#[test]
fn dependencies_bite() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\" # why\nb = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nc = \"1\"\n";
    assert_bites(dependencies, "Cargo.toml", manifest, &[5, 7]);
    assert_bites(dependencies, "tests/fuzz/Cargo.toml", manifest, &[5, 7]);
}

#[test]
fn catalogue_bites() {
    let path = "tests/data/ajp/catalogue.txt";
    // Line 1 is also where a wrong number of rows is told.
    assert_bites(catalogue, path, "# text\n1 one | none_such\n3 three |\n", &[2, 3, 1]);
}

#[test]
fn style_of_tests_bites() {
    assert_bites(test_style, "tests/core/x.rs", "#[test]\nfn test_it() {}\nfn test_page() {}", &[2]);
    assert_bites(
        test_style,
        "tests/core/x.rs",
        "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n#[should_panic]\nfn b() {}",
        &[2, 4],
    );
    assert_bites(test_style, "tests/core/x.rs", "fn a() {\n std::thread::sleep(d) }", &[2]);
    assert_bites(test_style, "tests/support/wait.rs", "fn a() {\n std::thread::sleep(d) }", &[]);
    let unit = "fn pause() { sleep(d) }\n#[cfg(test)]\nmod tests {\n fn a() { sleep(d) }\n}";
    assert_bites(test_style, "src/worker/lb.rs", unit, &[4]);
    assert_bites(test_style, "src/worker/pool_tests.rs", "fn a() { sleep(d) }", &[1]);
}
