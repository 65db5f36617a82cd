//! The typed configuration tree of Twinscale.
