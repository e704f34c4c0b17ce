//! The forms of `cmd=edit`: one worker's settings, or one setting of all members.
//!
//! Not here: what values are accepted (`field.rs`). The surprising thing: on and off are two choices and not a box to tick, because a box
//! that is not ticked sends nothing, and so could never switch anything off.

use maud::{Markup, html};

use super::Screen;
use crate::balancer::{Activation, Lock, Method};
use crate::shm::TEXT_MAX;
use crate::status::Outcome;
use crate::status::command::{Target, Verb};
use crate::status::field::{self, AJP, BadValue, Draft, Field, Kind, LB, MEMBER, Value};
use crate::status::update::{draft_of_ajp, draft_of_lb, draft_of_member};

/// One line of a form.
struct Entry {
    field: &'static Field,
    /// Of the parameter, and of the element.
    name: String,
    label: String,
    /// What stands in the form: what is in force, or what was typed into a form that failed.
    text: String,
    /// Why that was refused.
    wrong: Option<String>,
}

/// The form for the target of the command; for `cmd=update`, as it was sent and with what is wrong in it.
pub(super) fn edit(screen: &Screen<'_>) -> Markup {
    let form = match screen.target {
        Some(Target::Ajp(ajp)) => {
            let name = screen.scene.ajp_name(*ajp);
            let entries = entries(screen, AJP.iter(), &draft_of_ajp(screen.scene, *ajp));
            let body = html! { (lines(&entries)) };
            form(screen, &format!("Edit worker settings for {name}"), "Update Worker", &entries, &body)
        }
        Some(Target::Lb { lb, config, members: None }) => match screen.command.parameters.get("att") {
            Some(aspect) => aspects(screen, *lb, config, aspect),
            None => {
                let entries = entries(screen, LB.iter(), &draft_of_lb(screen.scene, *lb));
                let title = format!("Edit load balancer settings for {}", config.name);
                form(screen, &title, "Update Balancer", &entries, &lines(&entries))
            }
        },
        Some(Target::Lb { lb, config, members: Some(members) }) => {
            members.first().map(|index| member(screen, *lb, config, *index)).unwrap_or_default()
        }
        Some(Target::Status) | None => screen.done(),
    };
    html! {
        p { (screen.way_back().anchor("Back to worker list")) }
        (form)
    }
}

fn member(screen: &Screen<'_>, lb: usize, config: &crate::config::LbConfig, index: usize) -> Markup {
    let Some(slot) = screen.scene.shared.region.plan().members_of(lb).nth(index) else { return Markup::default() };
    let Some(ajp) = config.members.get(index).map(|member| member.ajp) else { return Markup::default() };
    let draft = draft_of_member(screen.scene, slot, ajp);
    let mut all = entries(screen, MEMBER.iter().chain(&AJP), &draft);
    let ajp_part = all.split_off(MEMBER.len());
    let body = html! {
        fieldset { legend { "Balancing related settings" } (lines(&all)) }
        fieldset {
            legend { "AJP settings" }
            p.hint { "They hold for every balancer that this worker is a member of." }
            (lines(&ajp_part))
        }
    };
    all.extend(ajp_part);
    form(screen, &format!("Edit worker settings for {}", screen.scene.ajp_name(ajp)), "Update Worker", &all, &body)
}

/// One setting of all members. An unknown one gives no form, but what is wrong.
fn aspects(screen: &Screen<'_>, lb: usize, config: &crate::config::LbConfig, aspect: &str) -> Markup {
    let Some(field) = field::aspects().find(|field| field.param == aspect) else { return screen.done() };
    let slots = screen.scene.shared.region.plan().members_of(lb);
    let entry = |(index, (slot, member)): (usize, (usize, &crate::config::MemberConfig))| {
        let draft = draft_of_member(screen.scene, slot, member.ajp);
        entry(screen, field, format!("val{index}"), screen.scene.ajp_name(member.ajp).to_owned(), &draft)
    };
    let entries: Vec<_> = slots.zip(&config.members).enumerate().map(entry).collect();
    let title = format!("Edit attribute '{}' for all members of load balancer {}", field.label, config.name);
    form(screen, &title, "Update Balancer", &entries, &lines(&entries))
}

fn entries(screen: &Screen<'_>, fields: impl Iterator<Item = &'static Field>, draft: &Draft) -> Vec<Entry> {
    let one = |field: &'static Field| entry(screen, field, field.param.to_owned(), field.label.to_owned(), draft);
    fields.map(one).collect()
}

fn entry(screen: &Screen<'_>, field: &'static Field, name: String, label: String, draft: &Draft) -> Entry {
    let now = (field.get)(draft);
    let Some((command, Outcome::Failed(message))) = screen.result else {
        return Entry { field, name, label, text: now.form_text(), wrong: None };
    };
    let typed = command.parameters.get(&name);
    let wrong = match typed.map(|typed| field.parse(typed, &now)) {
        Some(Err(BadValue::Expected(expected))) => Some(format!("Must be {expected}.")),
        Some(Err(BadValue::TooLong(_))) => Some(format!("Must be {}.", field.expected())),
        Some(Ok(_)) if field.param == "vahst" && message.contains("could not resolve") => {
            Some("This name cannot be resolved.".to_owned())
        }
        Some(Ok(_)) | None => None,
    };
    let text = typed.map_or_else(|| now.form_text(), |typed| shown(field, typed, &now));
    Entry { field, name, label, text, wrong }
}

/// What was typed; where there are choices, the one that it means.
fn shown(field: &Field, typed: &str, now: &Value) -> String {
    match field.parse(typed, now) {
        Ok(value) if choices(field.kind).is_some() => value.form_text(),
        Ok(_) | Err(_) => typed.to_owned(),
    }
}

fn form(screen: &Screen<'_>, title: &str, submit: &str, entries: &[Entry], body: &Markup) -> Markup {
    let mut link = screen.link().verb(Verb::Update);
    for name in ["from", "w", "sw", "psw", "att"] {
        if let Some(value) = screen.command.parameters.get(name) {
            link = link.with(name, value);
        }
    }
    let wrong: Vec<_> = entries.iter().filter_map(|entry| Some((entry, entry.wrong.as_ref()?))).collect();
    html! {
        @if let Some((_, Outcome::Failed(message))) = screen.result {
            div.result.error role="alert" {
                p { strong { "Result: ERROR - " (message) } }
                @if !wrong.is_empty() {
                    ul { @for (entry, why) in &wrong { li { a href={ "#" (entry.name) } { (entry.label) } ": " (why) } } }
                }
                p { "Nothing was changed. The form has what was sent." }
            }
        }
        section.card {
            h2 { (title) }
            form.edit method="get" action=(link.path()) {
                (link.hidden(&[]))
                (body)
                p { button.primary type="submit" { (submit) } }
            }
        }
    }
}

fn lines(entries: &[Entry]) -> Markup {
    html! { @for entry in entries { (line(entry)) } }
}

fn line(entry: &Entry) -> Markup {
    let Entry { field, name, label, text, wrong } = entry;
    let (hint_id, wrong_id) = (format!("{name}-hint"), format!("{name}-wrong"));
    let ids = [wrong.is_some().then_some(wrong_id.as_str()), (!field.hint.is_empty()).then_some(hint_id.as_str())];
    let ids: Vec<_> = ids.into_iter().flatten().collect();
    let described = (!ids.is_empty()).then(|| ids.join(" "));
    let invalid = wrong.as_ref().map(|_| "true");
    let complaint = html! { @if let Some(why) = wrong { p.wrong id=(wrong_id) { (why) } } };
    if let Some(choices) = choices(field.kind) {
        return html! {
            fieldset.choice id=(name) tabindex=[invalid.map(|_| "-1")] aria-describedby=[described] {
                legend { (label) }
                @for (code, word) in choices {
                    label { input type="radio" name=(name) value=(code) checked[code == *text]; " " (word) }
                }
                (complaint)
            }
        };
    }
    let (kind, least, most, step) = match field.kind {
        Kind::Number { least, most } => ("number", Some(least), Some(most), None),
        Kind::PacketSize => ("number", Some(8_192), Some(65_536), Some(1_024)),
        _ => ("text", None, None, None),
    };
    let is_text = kind == "text";
    // A number field shows nothing that is no number, so what was typed there wrongly is shown as text.
    let kind = if wrong.is_some() { "text" } else { kind };
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=(text) required[!is_text] min=[least] max=[most] step=[step]
                maxlength=[is_text.then_some(TEXT_MAX)] autocomplete="off" spellcheck="false"
                aria-describedby=[described] aria-invalid=[invalid] autofocus[wrong.is_some()];
            @if !field.hint.is_empty() { small id=(hint_id) { (field.hint) } }
            (complaint)
        }
    }
}

fn choices(kind: Kind) -> Option<Vec<(String, &'static str)>> {
    Some(match kind {
        Kind::Flag => vec![("1".to_owned(), "On"), ("0".to_owned(), "Off")],
        Kind::Activation => Activation::ALL.map(|choice| (choice.code().to_string(), choice.name())).into(),
        Kind::Method => Method::ALL.map(|choice| (choice.code().to_string(), choice.text())).into(),
        Kind::Lock => {
            [Lock::Optimistic, Lock::Pessimistic].map(|choice| (choice.code().to_string(), choice.text())).into()
        }
        Kind::Number { .. } | Kind::PacketSize | Kind::Text(_) => return None,
    })
}
