//! Writes docs/reference/metrics.md to standard output.

fn main() -> std::io::Result<()> {
    twinscale::console::print(&twinscale::observe::reference::markdown())
}
