//! Whole clusters over the in-memory network, on paused time: minutes pass in milliseconds, and each test
//! waits for a state with a deadline.

mod cluster {
    mod clocks;
    mod duplicates;
    mod ends;
    mod forgetting;
    mod harness;
    mod keys;
    mod liveness;
    mod partitions;
    mod strangers;
}
