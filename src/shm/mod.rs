//! What all children share (unsafe place 2 of 2): typed slots in one mapping, atomics only.
