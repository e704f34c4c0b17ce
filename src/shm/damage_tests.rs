//! Tests of a region that somebody wrote over: nothing read from it is believed, and what was lost begins anew.
//!
//! Not here: files that are cut or replaced (`tests/core/shm_file.rs`). The surprising thing: only the words of the lock are spared in some
//! tests, because a made-up owner would be waited for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::lock::LockCell;
use super::tests::{config, forks, member, odd_settings, region, region_of};
use super::*;
use crate::balancer::{Activation, Member, Method, Selection, State, choose, rank};
use crate::config::LbSettings;

/// Writes `byte` over all slots, entries and cells, not over the header with the lock.
fn overwrite(region: &Region, byte: u8) {
    let start = size_of::<Header>();
    let first = region.memory.as_mut_ptr().wrapping_add(start);
    // SAFETY: the range lies in the mapping, which no other process or thread of this test uses.
    unsafe { first.write_bytes(byte, region.memory.len() - start) };
}

#[test]
fn any_bytes_read_as_legal_values() {
    for byte in [0x00, 0x01, 0x02, 0x03, 0x7F, 0x80, 0xAA, 0xFF] {
        let region = region();
        overwrite(&region, byte);
        let slot = region.ajp(0).unwrap();
        let numbers = region.ajp_numbers(0).unwrap();
        assert!(numbers.retries >= 1);
        assert!((8_192..=65_536).contains(&numbers.max_packet_size) && numbers.max_packet_size.is_multiple_of(1_024));
        assert!(slot.settings().host.len() <= TEXT_MAX);
        assert_eq!(numbers, AjpNumbers { address_sequence: u32::MAX, ..self::region().ajp_numbers(0).unwrap() });
        assert_eq!(region.lb_settings(0), LbSettings::default());
        let view = region.view(0).unwrap();
        assert!(view.multiplier >= 1);
        assert!(region.member(0).unwrap().settings().lb_factor >= 1);
        let busy = region.ajp_busy(0);
        drop(region.enter_ajp(Child::UNREGISTERED, 0));
        assert!(region.ajp_busy(0) <= busy);
        region.reap_children().unwrap();
        region.lock().unwrap().set_ajp_settings(0, &odd_settings("again")).unwrap();
        assert_eq!(slot.settings(), odd_settings("again"), "over {byte:#x}");
    }
}

#[test]
fn what_was_written_over_begins_anew_as_configured() {
    for byte in [0x00, 0x01, 0x80, 0xFF] {
        let region = region();
        overwrite(&region, byte);
        assert_eq!(region.restore().unwrap(), Restored { slots: 7, counts: true }, "{byte:#x}");
        assert_eq!(region.ajp(1).unwrap().settings(), config().ajp[1].settings);
        assert_eq!(region.lb(0).unwrap().intact_settings(), Some(LbSettings::default()));
        for (index, multiplier) in [6, 3, 2].into_iter().enumerate() {
            let (slot, factor) = (region.member(index).unwrap(), u32::try_from(index).unwrap() + 1);
            assert_eq!(slot.settings(), member(index, factor).settings);
            assert_eq!((slot.name().as_str(), slot.state.get()), (&*format!("w{index}"), State::Idle));
            assert_eq!(
                (slot.multiplier(), slot.value.get(), slot.rank()),
                (multiplier, 0, rank(Activation::Active, 0))
            );
        }
        assert_eq!(region.restore().unwrap(), Restored::default(), "{byte:#x}");
    }
}

#[test]
fn counts_in_flight_begin_anew_and_no_request_of_before_takes_from_those_after() {
    for byte in [0x00, 0x01, 0x80, 0xFF] {
        let region = Arc::new(region());
        let busyness = LbSettings { method: Method::Busyness, ..LbSettings::default() };
        region.lock().unwrap().set_lb_settings(0, &busyness).unwrap();
        let (own, nobodys) = (OwnChild::default(), Child::UNREGISTERED);
        own.claim(&region);
        let use_by = |child| {
            (region.enter_ajp(child, 0), region.enter_lb(child, 0), region.weigh(child, 1, 3), region.connect(child, 0))
        };
        let counts = || {
            let value = region.member(1).unwrap().value.get();
            [region.ajp_busy(0).into(), region.lb_busy(0).into(), value, region.ajp_connected(0).into()]
        };
        let before = (use_by(own.get()), use_by(nobodys));
        assert_eq!(counts(), [2, 2, 6, 2]);
        overwrite(&region, byte);
        assert_eq!(region.enter_ajp(own.get(), 0).total(), 1, "no limit is reached by garbage, {byte:#x}");
        assert!(region.restore().unwrap().counts);
        assert_eq!((counts(), region.reap_children().unwrap()), ([0; 4], 0), "{byte:#x}");
        region.lock().unwrap().set_lb_settings(0, &busyness).unwrap();
        let lost = own.get();
        own.keep(&region);
        assert!(own.get().has_entry() && own.get() != lost, "{byte:#x}");
        let after = (use_by(own.get()), use_by(nobodys));
        drop(before);
        assert_eq!(counts(), [2, 2, 6, 2], "{byte:#x}");
        drop(after);
        assert_eq!(counts(), [0; 4], "{byte:#x}");
        let most = (region.ajp(0).unwrap().max_busy.get(), region.ajp(0).unwrap().max_connected.get());
        assert_eq!((most, region.lb(0).unwrap().max_busy.get()), ((2, 2), 2), "{byte:#x}");
    }
}

#[test]
fn counts_alone_that_were_written_over_are_noticed() {
    let damages: [&dyn Fn(&Region); 3] = [
        &|region| region.cells().iter().for_each(|cell| cell.store(7, Ordering::Relaxed)),
        &|region| region.header().version.store(7, Ordering::Relaxed),
        &|region| {
            let entries = region.layout.children;
            let first = region.memory.as_mut_ptr().wrapping_add(entries.offset);
            // SAFETY: the entries lie in the mapping, which no other process or thread of this test uses.
            unsafe { first.write_bytes(0x7E, entries.count * size_of::<ChildEntry>()) };
        },
    ];
    for damage in damages {
        let region = region();
        damage(&region);
        assert_eq!(region.restore().unwrap(), Restored { slots: 0, counts: true });
        assert_eq!((region.ajp_busy(0), region.reap_children().unwrap()), (0, 0));
        assert_eq!(region.restore().unwrap(), Restored::default());
    }
}

#[test]
fn edits_are_not_taken_for_damage() {
    let region = region();
    region.lock().unwrap().set_ajp_settings(0, &odd_settings("moved")).unwrap();
    region.lock().unwrap().drain_member(1, 1_000, None, 300).unwrap();
    let _busy = region.enter_ajp(region.register_child().unwrap(), 0);
    assert_eq!((region.restore().unwrap(), region.ajp_busy(0)), (Restored::default(), 1));
    assert_eq!(region.ajp(0).unwrap().settings(), odd_settings("moved"));
    assert!(region.member(1).unwrap().drain().is_on());
}

#[test]
fn numbers_beyond_those_of_any_configuration_are_cut() {
    let settings = LbSettings { retries: u32::MAX, retry_interval_ms: u32::MAX, ..LbSettings::default() };
    let region = region();
    region.lock().unwrap().set_lb_settings(0, &settings).unwrap();
    let most = i32::MAX.cast_unsigned();
    assert_eq!([region.lb_settings(0).retries, region.lb_settings(0).retry_interval_ms], [most, most]);
}

#[test]
fn memory_that_holds_no_lock_any_more_is_an_error_and_not_an_abort() {
    for byte in [0x00, 0x20, 0x7F, 0xFF] {
        let region = region();
        let lock = std::ptr::from_ref(&region.header().lock).cast::<u8>().cast_mut();
        // SAFETY: the lock lies in the mapping, is not held, and no other process or thread of this test uses it.
        unsafe { lock.write_bytes(byte, size_of::<LockCell>()) };
        assert!(matches!(region.lock(), Err(ShmError::Lock(error)) if error.raw_os_error() == Some(libc::EINVAL)));
        assert!(region.register_child().is_err(), "{byte:#x}");
        // The request path does without it.
        drop(region.enter_ajp(Child::UNREGISTERED, 0));
        assert_eq!(region.view(0).unwrap().state, State::Idle);
        region.restore().unwrap();
        assert!(region.lock().is_ok(), "{byte:#x}");
    }
}

#[test]
fn an_owner_that_stands_still_is_not_waited_for_for_ever() {
    let region = region();
    let owner = forks::fork(|| {
        let Ok(writer) = region.lock() else { return 1 };
        region.header().created.store(7, Ordering::Release);
        std::mem::forget(writer);
        forks::park()
    });
    while region.header().created.load(Ordering::Acquire) != 7 {
        std::hint::spin_loop();
    }
    assert!(matches!(region.lock(), Err(ShmError::Lock(error)) if error.raw_os_error() == Some(libc::ETIMEDOUT)));
    drop(owner);
    assert!(region.lock().is_ok());
}

/// Everything a child does with the region, once.
fn use_all(region: &Arc<Region>, child: Child) {
    let texts = AllTexts(region);
    for ids in [None, Some(&b"a.route1;b.d1"[..])] {
        let selection = Selection { session_ids: ids, ..Selection::default() };
        if let Ok(choice) = choose(region.members_of(0), &texts, &selection, &AtomicU32::new(1)) {
            assert!(choice.index < 3);
        }
    }
    let guards =
        (region.enter_ajp(child, 0), region.enter_lb(child, 0), region.weigh(child, 1, 3), region.connect(child, 1));
    assert!(region.busy_of_members(0).count() == 3 && region.ajp_busy(0) < 1 << 31);
    for index in 0..3 {
        let (ajp, member) = (region.ajp(index).unwrap(), region.member(index).unwrap());
        assert!(ajp.settings().host.len() <= TEXT_MAX && member.settings().route.len() <= TEXT_MAX);
        assert!(region.ajp_numbers(index).unwrap().retries >= 1 && member.multiplier() >= 1);
        member.state.set_unless_error(State::Ok);
        member.value.decay(1);
        ajp.record_probe(Found::Answer);
    }
    // The lock may be gone.
    let _ = region.reap_children();
    region.restore().unwrap();
    if let Ok(writer) = region.lock() {
        writer.set_member_settings(1, &region.member(1).unwrap().settings()).unwrap();
        writer.set_lb_settings(0, &region.lb(0).unwrap().settings()).unwrap();
        writer.reset_lb(0, 5).unwrap();
    }
    let _ = region.claim_maintenance(9_999, 60);
    drop(guards);
}

struct AllTexts<'r>(&'r Region);

impl crate::balancer::Texts for AllTexts<'_> {
    type Text<'a>
        = Text
    where
        Self: 'a;
    fn route(&self, member: usize) -> Text {
        self.0.members_of(0)[member].text(MemberText::Route)
    }
    fn domain(&self, member: usize) -> Text {
        self.0.members_of(0)[member].text(MemberText::Domain)
    }
    fn redirect(&self, member: usize) -> Text {
        self.0.members_of(0)[member].text(MemberText::Redirect)
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// The words of the lock itself are left alone: with its kind intact and an owner made up, it would be waited for.
    #[test]
    fn garbage_in_the_mapping_is_never_trusted(
        patches in proptest::collection::vec((0_usize..1 << 14, proptest::collection::vec(proptest::prelude::any::<u8>(), 1..200)), 1..12),
    ) {
        let region = Arc::new(region());
        let child = region.register_child().unwrap();
        let lock = std::mem::offset_of!(Header, lock);
        for (at, bytes) in patches {
            for (at, byte) in (at % region.size()..region.size()).zip(bytes) {
                if (lock..lock + size_of::<LockCell>()).contains(&at) {
                    continue;
                }
                let target = region.memory.as_mut_ptr().wrapping_add(at);
                // SAFETY: `at` lies in the mapping, which no other process or thread of this test uses now.
                unsafe { target.write(byte) };
            }
            use_all(&region, child);
            let new = region_of(&config());
            new.adopt(&region, true).unwrap();
            use_all(&Arc::new(new), Child::UNREGISTERED);
        }
    }
}

#[test]
fn an_entry_limit_beyond_the_table_is_clamped() {
    let region = region();
    region.header().entries_used.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn an_index_beyond_the_plan_counts_nothing() {
    let region = region();
    assert_eq!(region.enter_ajp(Child::UNREGISTERED, 99).total(), 0);
    assert_eq!(region.lb_busy(99), 0);
    assert!(region.ajp(99).is_none() && region.view(99).is_none());
    assert!(matches!(region.lock().unwrap().reset_ajp(99, 0), Err(ShmError::NoSuchSlot)));
}
