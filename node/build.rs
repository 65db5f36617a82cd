//! Lets the binary and the tests find `LibTorch`: next to the binary first, then where it was built.

/// Set by `scripts/dist.sh`: what is packed looks for libraries next to itself alone, never in a directory
/// of the machine that built it.
const RELOCATABLE: &str = "TWINSCALE_RELOCATABLE";

#[expect(
    clippy::disallowed_methods,
    reason = "cargo hands values to build scripts in the environment"
)]
fn main() {
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    if let (Ok(library), Err(_unset)) = (
        std::env::var("DEP_TCH_LIBTORCH_LIB"),
        std::env::var(RELOCATABLE),
    ) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{library}");
    }
    println!("cargo:rerun-if-env-changed={RELOCATABLE}");
    println!("cargo:rerun-if-changed=build.rs");
}
