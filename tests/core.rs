//! All that can be tested without httpd, in one binary: a module per subject, in `tests/core/`.

#[path = "core/uri_map_advice.rs"]
mod uri_map_advice;
#[path = "core/uri_map_file.rs"]
mod uri_map_file;
#[path = "core/uri_map_fuzz.rs"]
mod uri_map_fuzz;
#[path = "core/uri_map_match.rs"]
mod uri_map_match;
