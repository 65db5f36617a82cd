//! Files of weights, and a reaction's card: their readers live beside `LibTorch`.

use twinscale_forecast_model::reaction::{ReactionCard, ReactionNetwork};
use twinscale_forecast_model::{Parent, weights_id};

/// Bytes of the tensors behind a header that was made up.
const TENSOR_BYTES_MAX: usize = 8 << 20;

/// A reaction and its card are read and written as the same, or refused; so are weights, also where only their header is given and
/// the tensors behind it are as long as it says.
pub fn weights_file(bytes: &[u8]) {
    match ReactionCard::from_json(bytes) {
        // Neither bytes of others nor a shut gate make a network.
        Ok(card) => assert!(card.open(b"other bytes").is_err()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match ReactionNetwork::read(bytes) {
        Ok(network) => {
            let written = network.write().expect("it was read, so it can be written");
            let again = ReactionNetwork::read(&written).expect("it was just written");
            assert_eq!(again.write().expect("it is the same"), written);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let whole = with_tensors(bytes);
    for bytes in [bytes, &whole] {
        weights_id(bytes).expect("any bytes have an id");
        match Parent::all_of(bytes) {
            Ok(parents) => assert!(!parents.is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// A safetensors file of this header, with zeros up to the last end that it names.
fn with_tensors(header: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(header);
    let numbers = text.split(|letter: char| !letter.is_ascii_digit());
    let ends = numbers.filter_map(|number| number.parse::<usize>().ok());
    let end = ends
        .filter(|end| *end <= TENSOR_BYTES_MAX)
        .max()
        .unwrap_or(0);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.resize(file.len() + end, 0);
    file
}
