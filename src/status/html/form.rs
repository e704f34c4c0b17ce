//! The forms of `cmd=edit`: one worker's settings, or one setting of all members.
//!
//! Not here: what values are accepted (`field.rs`). The surprising thing: on and off are two choices and not a box to tick, because a box
//! that is not ticked sends nothing, and so could never switch anything off.

use maud::{Markup, html};

use super::Screen;
use crate::balancer::{Activation, Lock, Method};
use crate::shm::TEXT_MAX;
use crate::status::command::{Target, Verb};
use crate::status::field::{self, AJP, Draft, Field, Kind, LB, MEMBER, Value};
use crate::status::update::{draft_of_ajp, draft_of_lb, draft_of_member};

/// The form for the target of the command.
pub(super) fn edit(screen: &Screen<'_>) -> Markup {
    let form = match screen.target {
        Some(Target::Ajp(ajp)) => {
            let name = screen.scene.ajp_name(*ajp);
            let fields = fields(AJP.iter(), &draft_of_ajp(screen.scene, *ajp));
            form(screen, &format!("Edit worker settings for {name}"), "Update Worker", &fields)
        }
        Some(Target::Lb { lb, config, members: None }) => match screen.command.parameters.get("att") {
            Some(aspect) => aspects(screen, *lb, config, aspect),
            None => {
                let fields = fields(LB.iter(), &draft_of_lb(screen.scene, *lb));
                let title = format!("Edit load balancer settings for {}", config.name);
                form(screen, &title, "Update Balancer", &fields)
            }
        },
        Some(Target::Lb { lb, config, members: Some(members) }) => {
            members.first().map(|index| member(screen, *lb, config, *index)).unwrap_or_default()
        }
        Some(Target::Status) | None => Markup::default(),
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
    let body = html! {
        fieldset { legend { "Balancing related settings" } (fields(MEMBER.iter(), &draft)) }
        fieldset {
            legend { "AJP settings" }
            p.hint { "They hold for every balancer that this worker is a member of." }
            (fields(AJP.iter(), &draft))
        }
    };
    form(screen, &format!("Edit worker settings for {}", screen.scene.ajp_name(ajp)), "Update Worker", &body)
}

/// One setting of all members. An unknown one gives no form, as ever.
fn aspects(screen: &Screen<'_>, lb: usize, config: &crate::config::LbConfig, aspect: &str) -> Markup {
    let Some(field) = field::aspects().find(|field| field.param == aspect) else { return Markup::default() };
    let slots = screen.scene.shared.region.plan().members_of(lb);
    let body = html! {
        @for (index, (slot, member)) in slots.zip(&config.members).enumerate() {
            @let draft = draft_of_member(screen.scene, slot, member.ajp);
            (input(field, &format!("val{index}"), screen.scene.ajp_name(member.ajp), &(field.get)(&draft)))
        }
    };
    let title = format!("Edit attribute '{}' for all members of load balancer {}", field.label, config.name);
    form(screen, &title, "Update Balancer", &body)
}

fn form(screen: &Screen<'_>, title: &str, submit: &str, body: &Markup) -> Markup {
    let mut link = screen.link().verb(Verb::Update);
    for name in ["from", "w", "sw", "psw", "att"] {
        if let Some(value) = screen.command.parameters.get(name) {
            link = link.with(name, value);
        }
    }
    html! {
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

fn fields(fields: impl Iterator<Item = &'static Field>, draft: &Draft) -> Markup {
    html! { @for field in fields { (input(field, field.param, field.label, &(field.get)(draft))) } }
}

fn input(field: &Field, name: &str, label: &str, value: &Value) -> Markup {
    let hint = format!("{name}-hint");
    let described = (!field.hint.is_empty()).then_some(&hint);
    let text = value.form_text();
    if let Some(choices) = choices(field.kind) {
        return html! {
            fieldset.choice {
                legend { (label) }
                @for (code, word) in choices {
                    label { input type="radio" name=(name) value=(code) checked[code == text]; " " (word) }
                }
            }
        };
    }
    html! {
        div.field {
            label for=(name) { (label) }
            @match field.kind {
                Kind::Number { least, most } => {
                    input id=(name) name=(name) type="number" required min=(least) max=(most) value=(text)
                        aria-describedby=[described];
                }
                Kind::PacketSize => {
                    input id=(name) name=(name) type="number" required min="8192" max="65536" step="1024" value=(text)
                        aria-describedby=[described];
                }
                _ => {
                    input id=(name) name=(name) type="text" value=(text) maxlength=(TEXT_MAX) autocomplete="off"
                        spellcheck="false" aria-describedby=[described];
                }
            }
            @if described.is_some() { small id=(hint) { (field.hint) } }
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
