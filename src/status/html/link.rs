//! Links and hidden form fields of the pages: a path, and parameters that are kept from view to view.
//!
//! Not here: what the parameters mean (`command.rs`). The surprising thing: what a request did not need is kept as well (`re`, `opt`, and
//! anything unknown), but never a value that was to be set, so that a reload repeats no change.

use maud::{Markup, html};

use crate::status::command::{Parameters, Verb, leading_number};

/// Parameters that belong to one request and are not handed on.
const OWN: [&str; 11] = ["cmd", "from", "w", "sw", "att", "psw", "until", "quiet", "uri", "host", "cookie"];

/// Parameters in front of all others, in this order; `opt` is the last one of all.
const ORDER: [&str; 6] = ["cmd", "from", "mime", "w", "sw", "att"];

/// The form of all buttons.
pub(super) const BUTTONS: &str = "do";

/// A link in the making.
#[derive(Clone, Debug)]
pub(super) struct Link<'a> {
    path: &'a [u8],
    parameters: Vec<(&'a str, String)>,
}

impl<'a> Link<'a> {
    /// To the path, with the parameters of a request that are handed on.
    pub(super) fn new(path: &'a [u8], parameters: &'a Parameters) -> Self {
        let kept = parameters.iter().filter(|(name, _)| !OWN.contains(name) && !is_value(name));
        Self { path, parameters: kept.map(|(name, value)| (name, value.to_owned())).collect() }
    }

    /// The path alone, ready for an attribute.
    pub(super) fn start(path: &[u8]) -> String {
        encoded(path, b"/:@!$&'()*+,;=")
    }

    pub(super) fn verb(self, verb: Verb) -> Self {
        self.with("cmd", verb.word())
    }

    pub(super) fn with(mut self, name: &'a str, value: &str) -> Self {
        match self.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.parameters.push((name, value.to_owned())),
        }
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| *known != name);
        self
    }

    /// With a bit of `opt` set that was not, or the other way round.
    pub(super) fn toggled(self, bit: u32) -> Self {
        let now = self.parameters.iter().find(|(name, _)| *name == "opt").map_or(0, |(_, opt)| leading_number(opt));
        match now ^ bit {
            0 => self.without("opt"),
            opt => self.with("opt", &opt.to_string()),
        }
    }

    pub(super) fn path(&self) -> String {
        Self::start(self.path)
    }

    /// The parameters in order.
    fn ordered(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.sort_by_key(|(name, _)| match *name {
            "opt" => ORDER.len() + 1,
            name => ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len()),
        });
        all
    }

    pub(super) fn url(&self) -> String {
        let mut url = self.path();
        for (index, (name, value)) in self.ordered().into_iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            // Names are not decoded when they come back, so they go out as they came.
            url.push_str(&encoded(name.as_bytes(), b"!$'()*+,;:@%/"));
            url.push('=');
            url.push_str(&encoded(value.as_bytes(), b"/:*,@"));
        }
        url
    }

    pub(super) fn anchor(&self, text: &str) -> Markup {
        html! { a href=(self.url()) { (text) } }
    }

    /// A button that asks for this; the page has the form that it belongs to ([`BUTTONS`]).
    pub(super) fn button(&self, text: &str, label: &str, class: &str) -> Markup {
        let class = (!class.is_empty()).then_some(class);
        html! {
            button form=(BUTTONS) formaction=(self.url()) class=[class] aria-label=(label) data-key=(text) { (text) }
        }
    }

    /// Fields of a form with method get, without those that the form has itself.
    pub(super) fn hidden(&self, except: &[&str]) -> Markup {
        html! {
            @for (name, value) in self.ordered() {
                @if !except.contains(&name) { input type="hidden" name=(name) value=(value); }
            }
        }
    }
}

/// Whether it is a value to set, under a new or an old name.
fn is_value(name: &str) -> bool {
    name.starts_with('v') || ["lr", "lt", "ls", "lf", "l", "wf", "wd", "ws", "wr", "wc"].contains(&name)
}

fn encoded(text: &[u8], kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(DIGITS.get(usize::from(digit)).copied().unwrap_or('0'));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(query: &str) -> String {
        Link::new(b"/jk <s>", &Parameters::parse(query.as_bytes())).verb(Verb::Show).with("w", "a&b \"c").url()
    }

    #[test]
    fn values_to_set_are_not_handed_on_and_the_rest_is() {
        let expected = "/jk%20%3Cs%3E?cmd=show&mime=html&w=a%26b%20%22c&re=5&foo=x%20y&opt=4";
        assert_eq!(link("opt=4&re=5&cmd=update&w=x&sw=y&vwa=1&val0=2&lr=3&mime=html&foo=x+y"), expected);
    }

    #[test]
    fn a_bit_goes_on_and_off() {
        let parameters = Parameters::parse(b"opt=4");
        let link = Link::new(b"/", &parameters);
        assert_eq!(link.clone().toggled(32).url(), "/?opt=36");
        assert_eq!(link.toggled(4).url(), "/");
    }
}
