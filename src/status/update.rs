//! Changes: settings (`update`), counters (`reset`), a member in error (`recover`). All or nothing, one log line per change.
//!
//! Not here: what a parameter accepts (`field.rs`), the writers' lock (`shm`). The surprising thing: host names are looked up before the
//! lock is taken, so that a slow resolver stops neither other admins nor balancers with `lock=Pessimistic`.

use super::Scene;
use super::command::{Parameters, Target};
use super::field::{self, AJP, BadValue, Draft, Field, LB, MEMBER, Value};
use crate::balancer::{Activation, State};
use crate::config::LbConfig;
use crate::shm::{Cause, ShmError};
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
    /// Its values come from the form for all members, which sends those that nobody touched as well.
    of_all: bool,
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

/// Whether all that looks like a setting is one of the target, and there is at least one. C mod_jk overlooks what is none, and so do the
/// formats that scripts read since its days; people, and readers of JSON, are told.
///
/// # Errors
/// The message for the client.
pub(super) fn understood(target: &Target<'_>, parameters: &Parameters) -> Result<(), String> {
    const OLD: [&str; 2] = ["wd", "ws"];
    let is_in = |fields: &[Field], name: &str| fields.iter().any(|field| field.param == name);
    let of_member = |name: &str| is_in(&MEMBER, name) || is_in(&AJP, name) || OLD.contains(&name);
    let mut named = false;
    for (name, _) in parameters.iter() {
        if !name.starts_with('v') && !OLD.contains(&name) {
            continue;
        }
        let (fits, whose, hint) = match target {
            Target::Status => return Ok(()),
            Target::Ajp(_) => (is_in(&AJP, name), "an AJP worker", ""),
            Target::Lb { members: Some(_), .. } => (of_member(name), "a member", ""),
            Target::Lb { config, members: None, .. } => {
                if let Some(aspect) = parameters.get("att") {
                    return aspect_understood(config, aspect, parameters);
                }
                let hint = if of_member(name) { "; it needs sw, the member" } else { "" };
                (is_in(&LB, name), "a load balancer", hint)
            }
        };
        if !fits {
            let name = shortened(name);
            return Err(format!("Update failed: {name} is no setting of {whose}{hint}; nothing was changed"));
        }
        named = true;
    }
    if named || *target == Target::Status {
        Ok(())
    } else {
        Err("Update failed: no setting was named; nothing was changed".to_owned())
    }
}

fn aspect_understood(config: &LbConfig, aspect: &str, parameters: &Parameters) -> Result<(), String> {
    if let Some(message) = no_aspect(aspect) {
        return Err(format!("Update failed: {message}; nothing was changed"));
    }
    let members: Vec<_> = (0..config.members.len()).map(|index| format!("val{index}")).collect();
    let mut values = parameters.iter().map(|(name, _)| name).filter(|name| name.starts_with('v'));
    match values.find(|name| members.iter().all(|member| member != name)) {
        None => Ok(()),
        Some(name) => {
            let (name, lb) = (shortened(name), &config.name);
            Err(format!("Update failed: {name} is no member of load balancer '{lb}'; nothing was changed"))
        }
    }
}

/// What is wrong with a value of `att`.
pub(super) fn no_aspect(aspect: &str) -> Option<String> {
    let is_known = field::aspects().any(|field| field.param == aspect);
    let aspect = shortened(aspect);
    (!is_known).then(|| format!("att={aspect} is no setting of members that can be changed for all at once"))
}

fn plain<'a>(scene: &Scene<'a>, ajp: usize, parameters: &Parameters) -> Result<Item<'a>, String> {
    let name = scene.ajp_name(ajp);
    let item = Item { place: Place::Ajp(ajp), name, of: None, changes: Vec::new(), of_all: false };
    filled(scene, item, AJP.iter(), parameters, false)
}

fn balancer<'a>(
    scene: &Scene<'a>,
    lb: usize,
    config: &'a LbConfig,
    parameters: &Parameters,
) -> Result<Item<'a>, String> {
    let item = Item { place: Place::Lb(lb), name: &config.name, of: None, changes: Vec::new(), of_all: false };
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
        item.of_all = true;
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
    Some(Item { place, name: scene.ajp_name(ajp), of: Some(&config.name), changes: Vec::new(), of_all: false })
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
    // A form that shows 0 for what is not set sends 0 along with all the rest; who asks for nothing but 0 means it.
    if let [(_, value @ Value::NotSet)] = item.changes.as_mut_slice() {
        *value = Value::Number(0);
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
            None => Err(format!(
                "Update failed: {name} must be on or off, found '{}'; nothing was changed",
                shortened(text)
            )),
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

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn complaint(item: &Item<'_>, field: &Field, text: &str, bad: &BadValue) -> String {
    match bad {
        BadValue::TooLong(what) => format!(
            "Update failed (at least partially): new {what} '{text}' too long for sub worker '{}', see log file for details.",
            item.name
        ),
        BadValue::Expected(expected) => {
            let shown = shortened(text);
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
        if let Place::Member { slot, .. } = item.place
            && names_activation_alone(item)
            && writer.cancel_drain(slot)?
        {
            lines.push(drain_end(item));
        }
        if let Some(ajp) = item.place.ajp()
            && after.ajp != before.ajp
        {
            writer.set_ajp_settings(ajp, &after.ajp)?;
        }
    }
    Ok(lines)
}

/// Whether an activation is all that is asked for: a click on "disable", and not a form that sends what it shows. Such a click ends a
/// drain even if the member stays disabled.
fn names_activation_alone(item: &Item<'_>) -> bool {
    !item.of_all && matches!(item.changes.as_slice(), [(_, Value::Activation(_))])
}

fn drain_end(item: &Item<'_>) -> String {
    line(item, "drain", &Value::Text("on".to_owned()), &Value::Text("off".to_owned()))
}

/// A line for each of these members that is being drained, which is about to end. The caller holds the lock.
fn drain_ends(scene: &Scene<'_>, items: &[Item<'_>]) -> Vec<String> {
    let is_draining = |item: &&Item<'_>| match item.place {
        Place::Member { slot, .. } => scene.shared.region.member(slot).is_some_and(|slot| slot.drain().is_on()),
        Place::Lb(_) | Place::Ajp(_) => false,
    };
    items.iter().filter(is_draining).map(drain_end).collect()
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
    let mut ended = Vec::new();
    let what = match target {
        Target::Status => return Err("Reset failed".to_owned()),
        Target::Ajp(ajp) => {
            region.lock().and_then(|writer| writer.reset_ajp(*ajp, now_s)).map_err(failed)?;
            format!("ajp worker '{}'", scene.ajp_name(*ajp))
        }
        Target::Lb { lb, config, members: None } => {
            let members = 0..config.members.len();
            let items: Vec<_> = members.filter_map(|index| member_item(scene, *lb, config, index)).collect();
            let writer = region.lock().map_err(failed)?;
            ended = drain_ends(scene, &items);
            writer.reset_lb(*lb, now_s).map_err(failed)?;
            format!("lb worker '{}'", config.name)
        }
        Target::Lb { lb, config, members: Some(members) } => {
            let item =
                members.first().and_then(|index| member_item(scene, *lb, config, *index)).ok_or("Reset failed")?;
            let Place::Member { slot, .. } = item.place else { return Err("Reset failed".to_owned()) };
            let writer = region.lock().map_err(failed)?;
            ended = drain_ends(scene, std::slice::from_ref(&item));
            writer.reset_member(slot, now_s).map_err(failed)?;
            format!("sub worker '{}' of lb worker '{}'", item.name, config.name)
        }
    };
    for line in ended {
        say!(scene.log, Info, "Status worker '{status}' changing {line}");
    }
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
    member.note_state(Cause::Admin, scene.now_s);
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
