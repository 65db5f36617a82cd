//! Bounded mailboxes, supervisors, compute threads and the two clocks.
