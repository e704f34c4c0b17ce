//! Everything that needs no httpd, in one binary.
//!
//! Not here: tests of one file's inside, which stand in that file. The modules are files under `tests/core/`.

#[path = "core/config_advice.rs"]
mod config_advice;
#[path = "core/config_attributes.rs"]
mod config_attributes;
#[path = "core/config_build.rs"]
mod config_build;
#[path = "core/config_reading.rs"]
mod config_reading;
#[path = "core/config_samples.rs"]
mod config_samples;
#[path = "core/config_toml.rs"]
mod config_toml;
#[path = "core/properties_grammar.rs"]
mod properties_grammar;
#[path = "core/properties_limits.rs"]
mod properties_limits;
#[path = "core/properties_reference.rs"]
mod properties_reference;
