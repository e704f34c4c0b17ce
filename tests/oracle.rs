//! The oracle: the C module and ours behind identical configurations and identical client bytes, compared line by line.
//!
//! Not here: whether either is right; that is for the other tests. The surprising thing: a difference that is meant is written
//! down beside its case as the exact lines that differ, so it can hide no other one. Run it with `make oracle`, which fetches
//! the C module; ORACLE_ONLY=<group>/<part of a case> narrows the run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops where a fact is not as it must be, and the table is its result"
)]

mod support;

#[path = "oracle"]
mod oracle {
    pub(crate) mod case;
    pub(crate) mod exchange;
    pub(crate) mod forwarding;
    pub(crate) mod interplay;
    pub(crate) mod mapping;
    pub(crate) mod peer;
    pub(crate) mod run;
    pub(crate) mod table;
}

#[test]
fn both_modules_agree_but_where_a_deviation_is_named() {
    let groups = [
        oracle::mapping::groups(),
        oracle::forwarding::groups(),
        oracle::exchange::groups(),
        oracle::interplay::groups(),
    ];
    oracle::table::judge(groups.concat());
}
