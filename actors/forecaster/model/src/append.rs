//! Networks added to a weights file that exists, so that those in it need not be trained again.

use crate::train::{TrainError, Trained, members_of};
use crate::weights::{NETWORKS_MAX, WeightsError, read, write_members};
use twinscale_forecaster::card::WeightsCard;

/// Puts networks behind those of a weights file.
///
/// # Errors
/// [`TrainError::Weights`] when the file is unusable or would hold too many networks.
pub fn weights_file_onto(before: &[u8], networks: &[Trained]) -> Result<Vec<u8>, TrainError> {
    let mut members = read(before)?;
    members.extend(members_of(networks));
    if members.len() > NETWORKS_MAX {
        let cause = format!(
            "{} networks, {NETWORKS_MAX} at most: add fewer",
            members.len()
        );
        let bytes = before.len();
        return Err(WeightsError::Corrupt { bytes, cause }.into());
    }
    Ok(write_members(&members)?)
}

/// Completes the card of a file made by [`weights_file_onto`] by what the file's card said before: its
/// networks come first, and of two cuts of a series the later one holds.
#[must_use]
pub fn card_onto(before: &WeightsCard, mut card: WeightsCard) -> WeightsCard {
    let added = std::mem::take(&mut card.networks);
    card.networks = before.networks.iter().cloned().chain(added).collect();
    for (name, known) in &before.datasets {
        let dataset = card.datasets.entry(name.clone()).or_default();
        if dataset.source.is_empty() {
            dataset.source.clone_from(&known.source);
        }
        for (series, cut_s) in &known.cut_s {
            let cut = dataset.cut_s.entry(series.clone()).or_insert(*cut_s);
            *cut = (*cut).max(*cut_s);
        }
    }
    for limit in &before.limits {
        if !card.limits.contains(limit) {
            card.limits.push(limit.clone());
        }
    }
    card
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped::SHIPPED_CARD;

    #[test]
    fn of_two_cuts_the_later_one_holds() {
        let shipped = WeightsCard::from_json(SHIPPED_CARD).expect("a card");
        let (name, series) = ("nyc_taxi", "nyctaxi/web/requests");
        let cut_s = shipped.datasets[name].cut_s[series];
        for (other_s, wanted_s) in [(cut_s - 3600, cut_s), (cut_s + 3600, cut_s + 3600)] {
            let mut added = shipped.clone();
            added.datasets.clear();
            let mut dataset = shipped.datasets[name].clone();
            dataset.cut_s.insert(series.to_owned(), other_s);
            added.datasets.insert(name.to_owned(), dataset);
            let both = card_onto(&shipped, added);
            assert_eq!(both.datasets[name].cut_s[series], wanted_s);
            assert_eq!(both.datasets.len(), shipped.datasets.len());
            assert_eq!(both.networks.len(), 2 * shipped.networks.len());
            assert_eq!(both.limits, shipped.limits);
        }
    }
}
