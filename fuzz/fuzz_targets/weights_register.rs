#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| twinscale_fuzz::weights_register(bytes));
