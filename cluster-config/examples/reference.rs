//! Prints the configuration reference; its output is `docs/reference/config.md`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    print!("{}", twinscale_cluster_config::reference_markdown());
}
