//! Lets the targets find `LibTorch` where it was built.

fn main() {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo hands values to build scripts in the environment"
    )]
    let library = std::env::var("DEP_TCH_LIBTORCH_LIB");
    if let Ok(library) = library {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{library}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
