//! One rule: pattern, worker, `;extension=value` options.
