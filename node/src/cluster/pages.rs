//! Puts the pages of nodes together.

/// A page: its items in the order of their keys, and the key after which there is more.
pub(crate) type Page<T, K> = (Vec<T>, Option<K>);

/// Puts the pages of nodes together: only as far as the page that ends first, since there may be more behind.
pub(crate) fn merge<T, K: Ord + Clone>(
    pages: impl IntoIterator<Item = Page<T, K>>,
    at_most: usize,
    key: impl Fn(&T) -> K,
) -> Page<T, K> {
    let mut end: Option<K> = None;
    let mut items: Vec<T> = Vec::new();
    for (page, next_after) in pages {
        if let Some(next) = next_after {
            end = Some(match end {
                Some(end) => end.min(next),
                None => next,
            });
        }
        items.extend(page);
    }
    items.sort_by_key(&key);
    // Two nodes may both think that they drive one, for a moment.
    items.dedup_by_key(|item| key(item));
    if let Some(end) = &end {
        items.retain(|item| key(item) <= *end);
    }
    let is_cut = items.len() > at_most || end.is_some();
    items.truncate(at_most);
    let last = items.last().map(&key);
    let next_after = if is_cut { last.or(end) } else { None };
    (items, next_after)
}
