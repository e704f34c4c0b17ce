//! JkRequestLogFormat: format string into items, items into a line. Pure.
