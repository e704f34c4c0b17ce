//! Entry points for the fuzzer, and the slow definitions that the fast code must equal.
//!
//! Not here: corpora and targets (`tests/fuzz`). The surprising thing: these functions panic on purpose, when the
//! two disagree; nothing else in the crate calls them.

use std::borrow::Cow;

use super::normalize::{NormalizeError, normalize};
use super::{UriMap, UriMapBuilder, read_mount_file};

/// Any bytes as a mount file: nothing panics, every rule is a rule, and each pattern is looked up alike both ways.
pub fn fuzz_uriworkermap(data: &[u8]) {
    let (rules, _) = read_mount_file(data, "fuzz", |name| name.starts_with(b"E").then(|| b"env".to_vec()));
    let map = UriMapBuilder::from_parts(Vec::new(), Vec::new(), rules).build();
    for rule in map.rules() {
        assert!(rule.pattern.starts_with(b"/"));
        assert_eq!(rule.wildcard, rule.pattern.iter().any(|byte| matches!(byte, b'*' | b'?')));
    }
    map.advice();
    map.check_workers(&[]);
    for rule in map.rules().iter().take(64) {
        assert_same_answer(&map, &rule.pattern);
    }
}

/// Any bytes as a URI: equal to four passes, idempotent, nothing left to resolve, borrowed when unchanged.
pub fn fuzz_normalize(uri: &[u8]) {
    let ours = normalize(uri);
    assert_eq!(ours.clone().map(Cow::into_owned), normalize_in_four_passes(uri));
    let Ok(out) = ours else { return };
    assert_eq!(matches!(out, Cow::Borrowed(_)), *out == *uri);
    assert_eq!(normalize(&out), Ok(Cow::Borrowed(&*out)));
    super::normalize::auto_alias(&out);
    let stripped = super::normalize::strip_session(uri, b";jsessionid");
    assert!(stripped.is_none_or(|stripped| stripped.len() < uri.len()));
}

/// A mount file, a blank line, and URIs one per line: compiled rules answer like a plain scan.
pub fn fuzz_match(data: &[u8]) {
    let end = memchr::memmem::find(data, b"\n\n").unwrap_or(data.len());
    let (file, uris) = data.split_at_checked(end).unwrap_or((data, b""));
    let (rules, _) = read_mount_file(file, "fuzz", |_| None);
    for reject_unsafe in [false, true] {
        let map =
            UriMapBuilder::from_parts(Vec::new(), Vec::new(), rules.clone()).reject_unsafe_uri(reject_unsafe).build();
        for uri in uris.split(|byte| *byte == b'\n').take(64) {
            assert_same_answer(&map, uri);
        }
    }
}

fn assert_same_answer(map: &UriMap, uri: &[u8]) {
    assert_eq!(map.lookup(uri), map.lookup_by_scan(uri), "{:?}", uri.escape_ascii().to_string());
}

/// Normalisation as it is defined: four passes, one after the other (reference: apache-side.md section 3.2).
pub(super) fn normalize_in_four_passes(uri: &[u8]) -> Result<Vec<u8>, NormalizeError> {
    if uri == b"*" {
        return Ok(uri.to_vec());
    }
    if !uri.starts_with(b"/") {
        return Err(NormalizeError::BadPath);
    }
    let without_parameters: Vec<&[u8]> = uri
        .split(|byte| *byte == b'/')
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default())
        .collect();
    let mut path = without_parameters.join(&b'/');
    while let Some(at) = memchr::memmem::find(&path, b"//") {
        path.remove(at);
    }
    while let Some(at) = memchr::memmem::find(&path, b"/./") {
        path.drain(at..at + 2);
    }
    if path.ends_with(b"/.") {
        path.pop();
    }
    loop {
        let inside = memchr::memmem::find(&path, b"/../");
        let at_end = path.ends_with(b"/..").then(|| path.len() - 3);
        let Some(at) = inside.or(at_end) else { return Ok(path) };
        let parent =
            path.get(..at).and_then(|before| memchr::memrchr(b'/', before)).ok_or(NormalizeError::Traversal)?;
        // "/x/.." goes; at the end the slash before x stays.
        let end = if inside.is_some() { at + 3 } else { at + 2 };
        path.drain(parent..end);
        if inside.is_none() {
            path.truncate(parent);
            path.push(b'/');
        }
    }
}
