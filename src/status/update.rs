//! Changes: settings (`update`), counters (`reset`), a member in error (`recover`). All or nothing, one log line per change.
//!
//! Not here: what a parameter accepts (`field.rs`), the writers' lock (`shm`). The surprising thing: host names are looked up before the
//! lock is taken, so that a slow resolver stops neither other admins nor balancers with `lock=Pessimistic`.

use super::Scene;
use super::command::{Parameters, Target};
use super::field::{self, AJP, BadValue, Draft, Field, LB, MEMBER, Value};
use crate::balancer::{Activation, State};
use crate::config::LbConfig;
use crate::shm::ShmError;
use crate::worker::say;
use crate::worker::socket::resolve;

/// One worker that is to change.
struct Item<'a> {
    place: Place,
    /// The worker's own name.
    name: &'a str,
    /// The balancer it is a member of.
    of: Option<&'a str>,
    /// What is to be in force.
    changes: Vec<(&'static Field, Value)>,
}

/// Which slots.
#[derive(Clone, Copy)]
enum Place {
    Lb(usize),
    Member { slot: usize, ajp: usize },
    Ajp(usize),
}

/// Applies the parameters of `cmd=update` to the target, or changes nothing.
///
/// # Errors
/// The message for the client.
pub(super) fn update(
    status: &str,
    scene: &Scene<'_>,
    target: &Target<'_>,
    parameters: &Parameters,
) -> Result<(), String> {
    let items = match target {
        Target::Status => return Err("Update failed".to_owned()),
        Target::Ajp(ajp) => vec![plain(scene, *ajp, parameters)?],
        Target::Lb { lb, config, members: None } => match parameters.get("att") {
            None => vec![balancer(scene, *lb, config, parameters)?],
            Some(aspect) => aspects(scene, *lb, config, aspect, parameters)?,
        },
        Target::Lb { lb, config, members: Some(members) } => {
            let wildcard = parameters.get("sw").is_some_and(|name| name.contains('*'));
            let item = |index: &usize| member(scene, *lb, config, *index, wildcard, parameters);
            members.iter().map(item).collect::<Result<_, _>>()?
        }
    };
    let lines = store(scene, &items).map_err(|error| {
        say!(scene.log, Error, "Status worker '{status}' could not store an update: {error}");
        "Update failed".to_owned()
    })?;
    for line in lines {
        say!(scene.log, Info, "Status worker '{status}' changing {line}");
    }
    Ok(())
}

fn plain<'a>(scene: &Scene<'a>, ajp: usize, parameters: &Parameters) -> Result<Item<'a>, String> {
    let name = scene.ajp_name(ajp);
    let item = Item { place: Place::Ajp(ajp), name, of: None, changes: Vec::new() };
    filled(scene, item, AJP.iter(), parameters, false)
}

fn balancer<'a>(
    scene: &Scene<'a>,
    lb: usize,
    config: &'a LbConfig,
    parameters: &Parameters,
) -> Result<Item<'a>, String> {
    let item = Item { place: Place::Lb(lb), name: &config.name, of: None, changes: Vec::new() };
    filled(scene, item, LB.iter(), parameters, false)
}

fn member<'a>(
    scene: &Scene<'a>,
    lb: usize,
    config: &'a LbConfig,
    index: usize,
    wildcard: bool,
    parameters: &Parameters,
) -> Result<Item<'a>, String> {
    let item = member_item(scene, lb, config, index).ok_or("Update failed")?;
    let mut item = filled(scene, item, MEMBER.iter().chain(&AJP), parameters, wildcard)?;
    let before = draft(scene, item.place);
    if let Some(activation) = old_activation(parameters, before.member.activation)? {
        item.changes.extend(MEMBER.first().map(|field| (field, Value::Activation(activation))));
    }
    if parameters.get("vwc").is_none() {
        fill_domain(&mut item, &before);
    }
    Ok(item)
}

/// `att` with `val0`, `val1`, ...: one setting of all members. Members without a value stay as they are.
fn aspects<'a>(
    scene: &Scene<'a>,
    lb: usize,
    config: &'a LbConfig,
    aspect: &str,
    parameters: &Parameters,
) -> Result<Vec<Item<'a>>, String> {
    let Some(field) = field::aspects().find(|field| field.param == aspect) else { return Ok(Vec::new()) };
    let mut items = Vec::new();
    for index in 0..config.members.len() {
        let Some(text) = parameters.get(&format!("val{index}")) else { continue };
        let mut item = member_item(scene, lb, config, index).ok_or("Update failed")?;
        let before = draft(scene, item.place);
        let value = field.parse(text, &(field.get)(&before));
        item.changes.push((field, value.map_err(|bad| complaint(&item, field, text, &bad))?));
        fill_domain(&mut item, &before);
        items.push(item);
    }
    Ok(items)
}

fn member_item<'a>(scene: &Scene<'a>, lb: usize, config: &'a LbConfig, index: usize) -> Option<Item<'a>> {
    let ajp = config.members.get(index)?.ajp;
    let slot = scene.shared.region.plan().members_of(lb).nth(index)?;
    let place = Place::Member { slot, ajp };
    Some(Item { place, name: scene.ajp_name(ajp), of: Some(&config.name), changes: Vec::new() })
}

/// Reads the parameters of `fields`, and checks an address that would change.
fn filled<'a>(
    scene: &Scene<'a>,
    mut item: Item<'a>,
    fields: impl Iterator<Item = &'static Field>,
    parameters: &Parameters,
    wildcard: bool,
) -> Result<Item<'a>, String> {
    let before = draft(scene, item.place);
    for field in fields {
        let Some(text) = parameters.get(field.param) else { continue };
        let value = field.parse(text, &(field.get)(&before));
        item.changes.push((field, value.map_err(|bad| complaint(&item, field, text, &bad))?));
    }
    let mut after = before.clone();
    for (field, value) in &item.changes {
        (field.put)(&mut after, value.clone());
    }
    let (old, new) = (&before.ajp, &after.ajp);
    if (old.host != new.host || old.port != new.port)
        && new.port != 0
        && let Err(error) = resolve(&new.host, new.port, scene.prefers_ipv6(item.place.ajp()))
    {
        say!(scene.log, Warn, "({}) cannot resolve '{}': {error}; its address stays", item.name, new.host);
        let aborting = if wildcard { " Aborting further wildcard updates." } else { "" };
        return Err(format!(
            "Update failed (at least partially): could not resolve address '{}:{}' for sub worker '{}'.{aborting}",
            new.host, new.port, item.name
        ));
    }
    Ok(item)
}

impl Place {
    fn ajp(self) -> Option<usize> {
        match self {
            Self::Lb(_) => None,
            Self::Member { ajp, .. } | Self::Ajp(ajp) => Some(ajp),
        }
    }
}

/// The activation that `wd` and `ws` of Tomcat's Ant task mean: what is not given stays.
fn old_activation(parameters: &Parameters, now: Activation) -> Result<Option<Activation>, String> {
    let flag = |name: &str| match parameters.get(name).filter(|_| parameters.get("vwa").is_none()) {
        None => Ok(None),
        Some(text) => match crate::config::value::boolean(text.trim()) {
            Some((on, _)) => Ok(Some(on)),
            None => Err(format!("Update failed: {name} must be on or off, found '{text}'; nothing was changed")),
        },
    };
    let (disabled, stopped) = (flag("wd")?, flag("ws")?);
    if disabled.is_none() && stopped.is_none() {
        return Ok(None);
    }
    Ok(Some(if stopped.unwrap_or(now == Activation::Stopped) {
        Activation::Stopped
    } else if disabled.unwrap_or(now == Activation::Disabled) {
        Activation::Disabled
    } else {
        Activation::Active
    }))
}

/// A new route with a dot gives its member a domain when it has none.
fn fill_domain(item: &mut Item<'_>, before: &Draft) {
    let route = item.changes.iter().find_map(|(field, value)| match value {
        Value::Text(route) if field.param == "vwn" && *route != before.member.route => Some(route.clone()),
        _ => None,
    });
    if let Some((domain, _)) = route.as_deref().and_then(|route| route.split_once('.'))
        && before.member.domain.is_empty()
        && let Some(field) = MEMBER.iter().find(|field| field.param == "vwc")
    {
        item.changes.push((field, Value::Text(domain.to_owned())));
    }
}

fn complaint(item: &Item<'_>, field: &Field, text: &str, bad: &BadValue) -> String {
    match bad {
        BadValue::TooLong(what) => format!(
            "Update failed (at least partially): new {what} '{text}' too long for sub worker '{}', see log file for details.",
            item.name
        ),
        BadValue::Expected(expected) => {
            let shown: String =
                text.chars().map(|letter| if letter.is_control() { '@' } else { letter }).take(80).collect();
            let (param, label) = (field.param, field.label);
            format!("Update failed: {param} ({label}) must be {expected}, found '{shown}'; nothing was changed")
        }
    }
}

/// What is in force at a place.
pub(super) fn draft_of_lb(scene: &Scene<'_>, lb: usize) -> Draft {
    draft(scene, Place::Lb(lb))
}

/// What is in force for a member and its AJP worker.
pub(super) fn draft_of_member(scene: &Scene<'_>, slot: usize, ajp: usize) -> Draft {
    draft(scene, Place::Member { slot, ajp })
}

/// What is in force for an AJP worker.
pub(super) fn draft_of_ajp(scene: &Scene<'_>, ajp: usize) -> Draft {
    draft(scene, Place::Ajp(ajp))
}

fn draft(scene: &Scene<'_>, place: Place) -> Draft {
    let region = &scene.shared.region;
    let mut draft = Draft::default();
    if let Place::Lb(lb) = place {
        draft.lb = region.lb(lb).map(|slot| slot.settings()).unwrap_or_default();
    }
    if let Place::Member { slot, .. } = place {
        draft.member = region.member(slot).map(|slot| slot.settings()).unwrap_or_default();
    }
    if let Some(ajp) = place.ajp() {
        draft.ajp = region.ajp(ajp).map(|slot| slot.settings()).unwrap_or_default();
    }
    draft
}

/// Stores all changes under one lock. Values were checked, so that only a broken lock can fail, before the first store.
///
/// Race: somebody else's change since the check is kept, but for the settings named here.
fn store(scene: &Scene<'_>, items: &[Item<'_>]) -> Result<Vec<String>, ShmError> {
    let writer = scene.shared.region.lock()?;
    let mut lines = Vec::new();
    for item in items {
        let before = draft(scene, item.place);
        let mut after = before.clone();
        for (field, value) in &item.changes {
            let old = (field.get)(&after);
            // `recovery_options` that are not set look like 0, and are not made 0 by a form that sends what it shows.
            if old != *value {
                (field.put)(&mut after, value.clone());
                lines.push(line(item, field.attribute, &old, value));
            }
        }
        if let Place::Lb(lb) = item.place
            && after.lb != before.lb
        {
            writer.set_lb_settings(lb, &after.lb)?;
        }
        if let Place::Member { slot, .. } = item.place
            && after.member != before.member
        {
            writer.set_member_settings(slot, &after.member)?;
        }
        if let Some(ajp) = item.place.ajp()
            && after.ajp != before.ajp
        {
            writer.set_ajp_settings(ajp, &after.ajp)?;
        }
    }
    Ok(lines)
}

fn line(item: &Item<'_>, attribute: &str, old: &Value, new: &Value) -> String {
    let name = item.name;
    let whose = match (item.place, item.of) {
        (_, Some(lb)) => format!("sub worker '{name}' of lb worker '{lb}'"),
        (Place::Lb(_), None) => format!("lb worker '{name}'"),
        (_, None) => format!("ajp worker '{name}'"),
    };
    format!("'{attribute}' for {whose} from '{}' to '{}'", old.log_text(), new.log_text())
}

/// Sets the counters of the target to zero (reference: lb-shm-status.md section 4.6).
///
/// # Errors
/// The message for the client.
pub(super) fn reset(status: &str, scene: &Scene<'_>, target: &Target<'_>) -> Result<(), String> {
    let failed = |error: ShmError| {
        say!(scene.log, Error, "Status worker '{status}' could not reset: {error}");
        "Reset failed".to_owned()
    };
    let region = &scene.shared.region;
    let now_s = scene.now_s;
    let what = match target {
        Target::Status => return Err("Reset failed".to_owned()),
        Target::Ajp(ajp) => {
            region.lock().and_then(|writer| writer.reset_ajp(*ajp, now_s)).map_err(failed)?;
            format!("ajp worker '{}'", scene.ajp_name(*ajp))
        }
        Target::Lb { lb, config, members: None } => {
            region.lock().and_then(|writer| writer.reset_lb(*lb, now_s)).map_err(failed)?;
            format!("lb worker '{}'", config.name)
        }
        Target::Lb { lb, config, members: Some(members) } => {
            let item =
                members.first().and_then(|index| member_item(scene, *lb, config, *index)).ok_or("Reset failed")?;
            let Place::Member { slot, .. } = item.place else { return Err("Reset failed".to_owned()) };
            region.lock().and_then(|writer| writer.reset_member(slot, now_s)).map_err(failed)?;
            format!("sub worker '{}' of lb worker '{}'", item.name, config.name)
        }
    };
    say!(scene.log, Info, "Status worker '{status}' has reset the counters of {what}");
    Ok(())
}

/// Lets the next request try a member that is in error.
///
/// # Errors
/// The message for the client; also when the member is not in error.
pub(super) fn recover(status: &str, scene: &Scene<'_>, target: &Target<'_>) -> Result<(), String> {
    const FAILED: &str = "Marking worker for recovery failed";
    let Target::Lb { lb, config, members: Some(members) } = target else { return Err(FAILED.to_owned()) };
    let region = &scene.shared.region;
    let item = members.first().and_then(|index| member_item(scene, *lb, config, *index)).ok_or(FAILED)?;
    let Place::Member { slot, ajp } = item.place else { return Err(FAILED.to_owned()) };
    let (member, lb_slot) = (region.member(slot).ok_or(FAILED)?, region.lb(*lb).ok_or(FAILED)?);
    let writer = region.lock().map_err(|error| {
        say!(scene.log, Error, "Status worker '{status}' could not mark a worker for recovery: {error}");
        FAILED.to_owned()
    })?;
    if !member.state.change(State::Error, State::Recover) {
        return Err(FAILED.to_owned());
    }
    let values = region.plan().members_of(*lb).filter_map(|index| region.member(index)).map(|slot| slot.value.get());
    let largest = values.max().unwrap_or(0);
    member.value.set(lb_slot.method().value_after_recovery(member.value.get(), largest));
    if let Some(ajp) = region.ajp(ajp) {
        ajp.reply_timeouts.set(0);
    }
    drop(writer);
    say!(
        scene.log,
        Info,
        "Status worker '{status}' marked sub worker '{}' of lb worker '{}' for recovery",
        item.name,
        config.name
    );
    Ok(())
}
