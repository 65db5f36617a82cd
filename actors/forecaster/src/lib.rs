//! Behavioral Pattern Engine.
