//! JkOptions: words with signs, exclusive groups, and how a virtual host inherits them (reference: apache-side.md section 4). Pure.
//!
//! Not here: what an option does (`forward.rs`, `request.rs`). The surprising thing: a minus wins over any plus in the same scope,
//! whatever their order.

/// Set of options; one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u32);

impl Flags {
    pub(super) const URI_PROXY: Self = Self(1);
    pub(super) const URI_ESCAPED: Self = Self(1 << 1);
    pub(super) const URI_COMPAT: Self = Self(1 << 2);
    pub(super) const URI_UNPARSED: Self = Self(1 << 3);
    /// Any of the modes but ForwardURIProxy.
    pub(super) const URI_OTHERS: Self = Self(0b1110);
    pub(super) const DIRECTORIES: Self = Self(1 << 4);
    pub(super) const LOCAL_ADDRESS: Self = Self(1 << 5);
    pub(super) const PHYSICAL_ADDRESS: Self = Self(1 << 6);
    pub(super) const FLUSH_PACKETS: Self = Self(1 << 7);
    pub(super) const FLUSH_HEADER: Self = Self(1 << 8);
    pub(super) const DISABLE_REUSE: Self = Self(1 << 9);
    pub(super) const CERT_CHAIN: Self = Self(1 << 10);
    pub(super) const KEY_SIZE: Self = Self(1 << 11);
    pub(super) const REJECT_UNSAFE: Self = Self(1 << 12);
    pub(super) const COLLAPSE: Self = Self(1 << 13);

    const URI_GROUP: Self = Self(0b1111);
    const ADDRESS_GROUP: Self = Self(0b110_0000);
    const NONE: Self = Self(0);
    /// In force when nothing is said.
    const DEFAULT: Self = Self(Self::URI_PROXY.0 | Self::KEY_SIZE.0);

    /// Whether any of `other`'s bits is set.
    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Name, bit, and the group of which only the last one given holds.
const WORDS: [(&str, Flags, Flags); 16] = [
    ("ForwardURIProxy", Flags::URI_PROXY, Flags::URI_GROUP),
    ("ForwardURIEscaped", Flags::URI_ESCAPED, Flags::URI_GROUP),
    ("ForwardURICompat", Flags::URI_COMPAT, Flags::URI_GROUP),
    ("ForwardURICompatUnparsed", Flags::URI_UNPARSED, Flags::URI_GROUP),
    ("CollapseSlashesAll", Flags::COLLAPSE, Flags::COLLAPSE),
    ("CollapseSlashesNone", Flags::COLLAPSE, Flags::COLLAPSE),
    ("CollapseSlashesUnmount", Flags::COLLAPSE, Flags::COLLAPSE),
    ("ForwardDirectories", Flags::DIRECTORIES, Flags::NONE),
    ("ForwardLocalAddress", Flags::LOCAL_ADDRESS, Flags::ADDRESS_GROUP),
    ("ForwardPhysicalAddress", Flags::PHYSICAL_ADDRESS, Flags::ADDRESS_GROUP),
    ("FlushPackets", Flags::FLUSH_PACKETS, Flags::NONE),
    ("FlushHeader", Flags::FLUSH_HEADER, Flags::NONE),
    ("DisableReuse", Flags::DISABLE_REUSE, Flags::NONE),
    ("ForwardSSLCertChain", Flags::CERT_CHAIN, Flags::NONE),
    ("ForwardKeySize", Flags::KEY_SIZE, Flags::NONE),
    ("RejectUnsafeURI", Flags::REJECT_UNSAFE, Flags::NONE),
];

/// What JkOptions of one scope say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    plus: Flags,
    minus: Flags,
    /// The main server starts from the defaults; a virtual host from nothing.
    given: Flags,
}

impl Default for Options {
    fn default() -> Self {
        Self { plus: Flags::NONE, minus: Flags::NONE, given: Flags::NONE }
    }
}

impl Options {
    /// Takes one word of JkOptions.
    ///
    /// # Errors
    /// A sentence that names the word and what was expected.
    pub(super) fn word(&mut self, word: &str) -> Result<(), String> {
        let (minus, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let Some((_, flag, group)) = WORDS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name)) else {
            return Err(unknown(word, name));
        };
        if minus
            && name.len() >= 10
            && name.as_bytes().first_chunk::<10>().is_some_and(|head| head.eq_ignore_ascii_case(b"ForwardURI"))
        {
            return Err(format!(
                "JkOptions: '{word}' cannot be switched off; give another ForwardURI option instead (one of them always holds)"
            ));
        }
        if minus {
            // C clears the whole group in the plus set; the minus itself names one option.
            self.plus = self.plus.without(*group).without(*flag);
            self.minus = self.minus.with(*flag);
        } else {
            self.plus = self.plus.without(*group).with(*flag);
            self.given = self.given.with(*group);
        }
        Ok(())
    }

    /// What holds on the main server.
    pub(super) fn of_main(&self) -> Flags {
        Flags::DEFAULT.without(self.given).with(self.plus).without(self.minus)
    }

    /// A virtual host's options over the main server's (reference: apache-side.md section 4.3; DEVIATIONS section 5 for the address group).
    pub(super) fn merged(main: &Self, own: &Self) -> Self {
        let inherited = main.of_main().without(own.given);
        Self { plus: inherited.with(own.plus), minus: own.minus, given: Flags(u32::MAX) }
    }
}

fn unknown(word: &str, name: &str) -> String {
    let near = crate::properties::nearest(name, WORDS.iter().map(|(known, _, _)| *known))
        .map(|known| format!(" (did you mean '{known}'?)"))
        .unwrap_or_default();
    format!(
        "JkOptions: '{word}' is not an option{near}; a word is an option name with an optional + or - directly before it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        let mut options = Options::default();
        for word in words {
            assert_eq!(options.word(word), Ok(()), "{word}");
        }
        options
    }

    #[test]
    fn defaults_are_forward_uri_proxy_and_key_size() {
        assert_eq!(options(&[]).of_main(), Flags::URI_PROXY.with(Flags::KEY_SIZE));
    }

    #[test]
    fn last_member_of_a_group_wins() {
        let held = options(&["ForwardURIEscaped", "+forwarduricompat"]).of_main();
        assert!(held.has(Flags::URI_COMPAT));
        assert!(!held.has(Flags::URI_ESCAPED));
        assert!(!held.has(Flags::URI_PROXY));
    }

    #[test]
    fn minus_wins_over_plus_whatever_the_order() {
        assert!(!options(&["+FlushPackets", "-FlushPackets", "+FlushPackets"]).of_main().has(Flags::FLUSH_PACKETS));
        assert!(!options(&["-ForwardKeySize"]).of_main().has(Flags::KEY_SIZE));
    }

    #[test]
    fn minus_of_an_address_option_clears_the_other_one() {
        let held = options(&["+ForwardPhysicalAddress", "-ForwardLocalAddress"]).of_main();
        assert!(!held.has(Flags::PHYSICAL_ADDRESS));
    }

    #[test]
    fn forward_uri_options_cannot_be_switched_off() {
        assert!(Options::default().word("-ForwardURIProxy").is_err());
    }

    #[test]
    fn unknown_words_and_detached_signs_are_errors_with_a_near_name() {
        let message = Options::default().word("+FlushPacket").err();
        assert!(message.is_some_and(|text| text.contains("'FlushPackets'")));
        assert!(Options::default().word("+").is_err());
        assert!(Options::default().word("ForwardSSLKeySize").is_err());
    }

    #[test]
    fn virtual_host_inherits_plus_but_not_minus_and_overrides_groups() {
        let main = options(&["+FlushPackets", "-ForwardKeySize", "ForwardURICompat", "+ForwardLocalAddress"]);
        let merged = Options::merged(&main, &options(&["+ForwardKeySize"])).of_main();
        assert!(merged.has(Flags::FLUSH_PACKETS));
        assert!(merged.has(Flags::KEY_SIZE));
        assert!(merged.has(Flags::URI_COMPAT));
        let merged = Options::merged(&main, &options(&["ForwardURIEscaped", "+ForwardPhysicalAddress"])).of_main();
        assert!(merged.has(Flags::URI_ESCAPED));
        assert!(!merged.has(Flags::URI_COMPAT));
        assert!(merged.has(Flags::PHYSICAL_ADDRESS));
        assert!(!merged.has(Flags::LOCAL_ADDRESS));
        let merged = Options::merged(&main, &options(&["-FlushPackets"])).of_main();
        assert!(!merged.has(Flags::FLUSH_PACKETS));
    }
}
