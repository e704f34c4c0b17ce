//! Which worker serves this URI: rules from JkMount, the mount file and `worker.<name>.mount`. Pure.

pub mod normalize;
pub mod rule;
