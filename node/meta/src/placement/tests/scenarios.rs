//! Single goals of the planner, one after the other.
