//! The shared memory between real processes: no torn settings, no leaked counts, no lock lost, wherever a kill strikes.
//!
//! Not here: a writer that dies at a chosen instruction (`src/shm/tests.rs`). The surprising thing: the number of kills is taken
//! from `MOD_JK_KILLS`; a few hundred by default, ten thousand before a release.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::sync::Arc;

use mod_jk::balancer::{Activation, Method};
use mod_jk::config::{
    AjpConfig, AjpSettings, Config, LbConfig, LbSettings, MemberConfig, MemberSettings, WorkerConfig,
};
use mod_jk::shm::{Child, Plan, Region};

use crate::shm_fork::fork;

const VARIANTS: u32 = 24;

/// Settings in which everything follows from `n`.
fn ajp_settings(n: u32) -> AjpSettings {
    AjpSettings {
        host: format!("host-{n}-{}", "x".repeat(n as usize)),
        port: u16::try_from(n + 1).unwrap(),
        connection_pool_timeout_s: n,
        ping_timeout_ms: n,
        connect_timeout_ms: n,
        prepost_timeout_ms: n,
        reply_timeout_ms: n,
        connection_ping_interval_s: n,
        retries: n + 1,
        retry_interval_ms: n,
        recovery_options: n.is_multiple_of(2).then_some(n),
        busy_limit: n,
        max_packet_size: 8_192 + 1_024 * n,
    }
}

fn member_settings(n: u32) -> MemberSettings {
    MemberSettings {
        route: format!("r{n}-{}", "y".repeat(n as usize)),
        domain: format!("d{n}"),
        redirect: format!("e{n}"),
        distance: i32::try_from(n).unwrap(),
        activation: if n.is_multiple_of(2) { Activation::Active } else { Activation::Disabled },
        lb_factor: n + 1,
    }
}

fn region() -> Arc<Region> {
    let ajp = |name: &str| AjpConfig { name: name.to_owned(), settings: ajp_settings(0), ..AjpConfig::default() };
    let member = |ajp| MemberConfig { ajp, settings: member_settings(0) };
    let lb = LbConfig { name: "lb".to_owned(), members: vec![member(0), member(1)], ..LbConfig::default() };
    let settings = LbSettings { method: Method::Busyness, ..LbSettings::default() };
    let members = vec![member(0), member(1)];
    let by_busy = LbConfig { name: "busy".to_owned(), settings, members, ..LbConfig::default() };
    let config = Config {
        list: vec![WorkerConfig::Lb(lb), WorkerConfig::Lb(by_busy)],
        ajp: vec![ajp("w1"), ajp("w2")],
        ..Config::default()
    };
    Arc::new(Region::anonymous(&Plan::new(&config, 16, 1_000).unwrap()).unwrap())
}

struct Variants {
    ajp: Vec<AjpSettings>,
    member: Vec<MemberSettings>,
}

impl Variants {
    /// Made before the fork, so that the child allocates nothing.
    fn new() -> Self {
        Self { ajp: (0..VARIANTS).map(ajp_settings).collect(), member: (0..VARIANTS).map(member_settings).collect() }
    }

    fn assert_whole(&self, region: &Region) {
        let ajp = region.ajp(0).unwrap().settings();
        assert_eq!(ajp, self.ajp[ajp.busy_limit as usize]);
        let member = region.member(0).unwrap().settings();
        assert_eq!(member, self.member[usize::try_from(member.distance).unwrap()]);
    }
}

/// One update after the other, for ever.
fn write_for_ever(region: &Region, variants: &Variants) -> u8 {
    for n in (0..variants.ajp.len()).cycle() {
        let Ok(writer) = region.lock() else { return 1 };
        let stored = writer
            .set_ajp_settings(0, &variants.ajp[n])
            .and_then(|()| writer.set_member_settings(0, &variants.member[n]));
        if stored.is_err() {
            return 2;
        }
        region.lb(0).iter().for_each(|slot| slot.last_reset.add(1));
    }
    0
}

/// Requests, connections and updates, for ever; `used` tells how many.
fn serve_for_ever(region: &Arc<Region>, variants: &Variants) -> u8 {
    let Ok(child) = region.register_child() else { return 1 };
    for n in (0..variants.ajp.len()).cycle() {
        let lb = region.enter_lb(child, 0);
        let connected = region.connect(child, 0);
        let first = region.enter_ajp(child, 0);
        let second = region.enter_ajp(child, 1);
        if n % 4 == 0 {
            let Ok(writer) = region.lock() else { return 1 };
            let stored = writer
                .set_ajp_settings(0, &variants.ajp[n])
                .and_then(|()| writer.set_member_settings(0, &variants.member[n]));
            if stored.is_err() {
                return 2;
            }
        }
        let by_busy = region.plan().members_of(1).start;
        let weights =
            [0, 1].map(|index| region.weigh(child, by_busy + index, region.members_of(1)[index].multiplier()));
        if n % 4 == 2 {
            // The steps of what is in flight are none of the new multipliers.
            let Ok(writer) = region.lock() else { return 1 };
            if writer.set_member_settings(by_busy, &variants.member[n]).is_err() {
                return 2;
            }
        }
        drop((weights, second, first, connected, lb));
        region.ajp(0).iter().for_each(|slot| slot.used.add(1));
    }
    0
}

#[test]
fn no_reader_sees_settings_of_two_updates() {
    let (region, variants) = (region(), Variants::new());
    let writer = fork(|| write_for_ever(&region, &variants));
    let updates = || region.lb(0).unwrap().last_reset.get() - 1_000;
    let mut reads = 0_u32;
    while reads < 20_000 || updates() < 20_000 {
        variants.assert_whole(&region);
        let numbers = region.ajp(0).unwrap().numbers().expect("whole settings");
        assert_eq!((numbers.retries, u32::from(numbers.port)), (numbers.busy_limit + 1, numbers.busy_limit + 1));
        let address = region.ajp(0).unwrap().address().expect("a whole address");
        assert_eq!(address.host.as_str(), variants.ajp[usize::from(address.port) - 1].host);
        let view = region.member(0).unwrap().view(0);
        assert_eq!(view.activation == Activation::Active, view.distance % 2 == 0);
        reads += 1;
    }
    writer.kill();
    assert_eq!(writer.wait(), None, "it was the kill that ended the writer");
}

#[test]
fn two_writers_never_mix_their_updates() {
    let (region, variants) = (region(), Variants::new());
    let writers = [fork(|| write_for_ever(&region, &variants)), fork(|| write_for_ever(&region, &variants))];
    while region.lb(0).unwrap().last_reset.get() < 21_000 {
        variants.assert_whole(&region);
        assert_eq!(region.lock().map(|_| ()).ok(), Some(()));
    }
    drop(writers);
    variants.assert_whole(&region);
}

#[test]
fn a_kill_at_any_instruction_leaves_no_count_no_lock_and_no_half_update() {
    let kills = std::env::var("MOD_JK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let (region, variants) = (region(), Variants::new());
    let own = region.register_child().unwrap();
    let busy = region.enter_ajp(own, 0);
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for kill in 0..kills {
        // xorshift64: where the child is killed differs each time, and is the same in each run as far as one can steer it.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let target = region.ajp(0).unwrap().used.get() + random % 64;
        let child = fork(|| serve_for_ever(&region, &variants));
        while region.ajp(0).unwrap().used.get() <= target {
            std::hint::spin_loop();
        }
        (0..(random >> 32) % 512).for_each(|_| std::hint::spin_loop());
        child.kill();
        assert_eq!(child.wait(), None);
        region.reap_children().unwrap();
        let left = (region.ajp_busy(0), region.ajp_busy(1), region.ajp_connected(0), region.lb_busy(0));
        assert_eq!(left, (1, 0, 0, 0), "after kill {kill}");
        let loads = [0, 1].map(|index| region.members_of(1)[index].value.get());
        assert_eq!(loads, [0, 0], "after kill {kill}");
        variants.assert_whole(&region);
        drop(region.lock().unwrap());
        let factor = region.member(0).unwrap().lb_factor();
        assert_eq!(region.member(1).unwrap().multiplier(), u64::from(factor), "after kill {kill}");
    }
    drop(busy);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn the_counts_of_the_living_stay_while_another_child_is_reaped() {
    let (region, variants) = (region(), Variants::new());
    let living = fork(|| serve_for_ever(&region, &variants));
    for _ in 0..20 {
        let before = region.ajp(0).unwrap().used.get();
        let dying = fork(|| {
            let Ok(child) = region.register_child() else { return 1 };
            std::mem::forget(region.enter_ajp(child, 1));
            0
        });
        assert_eq!(dying.wait(), Some(0));
        region.reap_children().unwrap();
        while region.ajp(0).unwrap().used.get() < before + 100 {
            assert!(region.ajp_busy(1) <= 1 && region.lb_busy(0) <= 1);
        }
    }
    drop(living);
    assert_eq!(region.reap_children().unwrap(), 1);
    assert_eq!((region.ajp_busy(0), region.ajp_busy(1), region.lb_busy(0)), (0, 0, 0));
}

#[test]
fn a_new_child_reaps_the_dead_before_it_takes_an_entry() {
    let region = region();
    for _ in 0..40 {
        let child = fork(|| {
            let Ok(child) = region.register_child() else { return 1 };
            std::mem::forget(region.enter_ajp(child, 0));
            u8::from(!child.has_entry())
        });
        assert_eq!(child.wait(), Some(0), "the table has 16 entries, and all but one owner are dead");
    }
    assert_eq!(region.ajp_busy(0), 1);
}

#[test]
fn an_edit_in_one_process_is_what_the_next_read_of_another_sees() {
    let (region, variants) = (region(), Variants::new());
    let child = fork(|| {
        let stored = region.lock().and_then(|writer| writer.set_member_settings(1, &variants.member[7]));
        u8::from(stored.is_err())
    });
    assert_eq!(child.wait(), Some(0));
    assert_eq!(region.member(1).unwrap().settings(), variants.member[7]);
    assert_eq!(region.view(1).unwrap().activation, Activation::Disabled);
    let _busy = region.enter_ajp(Child::UNREGISTERED, 1);
    assert_eq!(region.view(1).unwrap().busy, 1);
}

#[test]
fn one_process_of_many_wins_the_maintenance() {
    let region = region();
    let children = (0..8).map(|_| fork(|| u8::from(region.claim_maintenance(2_000, 60)))).collect::<Vec<_>>();
    let wins = children.into_iter().map(|child| child.wait().unwrap()).sum::<i32>();
    assert_eq!(wins, 1);
}
