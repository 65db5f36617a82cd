//! Tests of the live view: screens as files to read, keys as state changes.

mod example;
mod keys;
mod screens;
mod texts;
