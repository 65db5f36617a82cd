//! Tests of the whole node, each through its composition root and the real actors.

mod system {
    mod disk;
    mod faults;
    mod misses;
    mod replays;
    mod weights;
}
