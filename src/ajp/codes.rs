//! The coded methods, header names and attributes: one table each, both directions.
