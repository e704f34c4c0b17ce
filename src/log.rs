//! JkLogFile lines: levels, stamp format, layout. Pure.
