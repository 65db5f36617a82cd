//! What is made known of weights, from their files.

use twinscale_forecaster::card::WeightsCard;
use twinscale_meta::id_of_digest;
use twinscale_meta::limits::ORIGIN_BYTES_MAX;
use twinscale_meta::stored::v2::{CardSummary, WeightsNotice};
use twinscale_protocol::{WireError, WireErrorCode};
use twinscale_weights::sha256;

/// Losses are kept in millionths.
const MILLION: f64 = 1e6;

/// What the register keeps of weights.
///
/// # Errors
/// When the hash gives no id, which none does.
pub fn notice_of(
    weights: &[u8],
    card_bytes: &[u8],
    card: &WeightsCard,
) -> Result<WeightsNotice, WireError> {
    let digest = sha256(weights);
    let id = id_of_digest(&digest)
        .ok_or_else(|| WireError::new(WireErrorCode::Internal, "a hash gives no id"))?;
    let bytes = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let series: usize = card.datasets.values().map(|one| one.cut_s.len()).sum();
    let losses = card.networks.iter().map(|one| one.validation_loss);
    let loss = losses.fold(f64::INFINITY, f64::min);
    let names: Vec<&str> = card.datasets.keys().map(String::as_str).collect();
    Ok(WeightsNotice {
        id,
        digest,
        bytes: bytes(weights),
        summary: CardSummary {
            digest: sha256(card_bytes),
            bytes: bytes(card_bytes),
            parent: card.parent.clone(),
            networks: u16::try_from(card.networks.len()).unwrap_or(u16::MAX),
            series: u32::try_from(series).unwrap_or(u32::MAX),
            validation_loss: loss.is_finite().then(|| millionths(loss)),
            origin: cut(&names.join(", ")),
        },
    })
}

/// A share or ratio in whole millionths; what is no number is the highest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range before"
)]
pub(super) fn millionths(value: f64) -> u32 {
    if value.is_nan() {
        return u32::MAX;
    }
    (value * MILLION).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

fn cut(text: &str) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        if short.len() + letter.len_utf8() > ORIGIN_BYTES_MAX {
            break;
        }
        short.push(letter);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS};

    #[test]
    fn the_shipped_weights_can_be_made_known() {
        let card = WeightsCard::from_json(SHIPPED_CARD).expect("a card");
        let notice = notice_of(SHIPPED_WEIGHTS, SHIPPED_CARD, &card).expect("a notice");
        assert_eq!(notice.id, card.weights_id);
        assert_eq!(usize::from(notice.summary.networks), card.networks.len());
        assert!(notice.summary.origin.starts_with("appserver_requests, "));
        assert!(notice.summary.origin.len() <= ORIGIN_BYTES_MAX);
        assert!(
            notice
                .summary
                .validation_loss
                .is_some_and(|loss| loss < 1_000_000)
        );
    }

    #[test]
    fn what_is_no_number_is_no_good_figure() {
        assert_eq!(millionths(0.5), 500_000);
        assert_eq!(millionths(-1.0), 0);
        assert_eq!(millionths(f64::NAN), u32::MAX);
        assert_eq!(millionths(f64::INFINITY), u32::MAX);
    }
}
