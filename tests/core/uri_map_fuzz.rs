//! The fuzzer's entry points over a small corpus, so that they keep working without a fuzzer.
//!
//! Not here: the fuzzer (`tests/fuzz`). The surprising thing: there is nothing to assert, the entry points do.

use mod_jk::uri_map::{fuzz_match, fuzz_normalize, fuzz_uriworkermap};
use proptest::prelude::*;

#[test]
fn entry_points_accept_what_once_was_interesting() {
    for text in [
        b"".as_slice(),
        b"\xEF\xBB\xBF/a=w\n-!/b|/*=*;session_path=;active=,;x_=",
        b"a=$(a)\n$(=)\n/$(b)=$($(a))",
        b"/*=w1\n/*/*=w2\n!/a*=w1;\n\n/a/b\n/ab\n*\n/%\\",
    ] {
        fuzz_uriworkermap(text);
        fuzz_match(text);
        fuzz_normalize(text);
    }
}

proptest! {
    #[test]
    fn entry_points_accept_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_uriworkermap(&bytes);
        fuzz_match(&bytes);
        fuzz_normalize(&bytes);
    }

    #[test]
    fn entry_points_accept_texts_that_look_right(text in "([-!]{0,2}/[ab/*?|]{0,6}=(w|\\*)(;[a-x_=,]{0,9})?\n){0,6}\n(/[ab/.;]{0,6}\n){0,6}") {
        fuzz_uriworkermap(text.as_bytes());
        fuzz_match(text.as_bytes());
    }
}
