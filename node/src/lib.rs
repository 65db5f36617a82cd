//! The Twinscale node: composition root, commands and reports.
