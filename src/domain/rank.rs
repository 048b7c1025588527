//! Keys that sort the cards of a column.
//!
//! A card that is put between two others gets a key between theirs, so one row is written. Keys that are cut in
//! half again and again grow; once one is longer than [`SWEEP_FROM_LENGTH`], every further move in that column also
//! gives [`SWEPT_MAX`] other cards new short keys, until all have one. So a move writes a bounded number of rows
//! however long the column is, and no key outgrows [`RANK_LENGTH_MAX`].
//!
//! A key is a letter, four digits of base 62 and a fraction in the same base. The letter tells the generation that a
//! sweep moves cards out of or into: `b` → `a` and `c` → `b` from the first card on, `a` → `c` from the last card
//! on. So the cards that were swept sort before the others, or behind them, at every moment.

/// A sweep begins with a key that is longer than this.
const SWEEP_FROM_LENGTH: usize = 16;
/// So many cards get a new key with each move while a sweep goes on.
pub const SWEPT_MAX: usize = 4;
/// No key of a column of a thousand cards is longer than this.
pub const RANK_LENGTH_MAX: usize = 200;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: u32 = 62;
/// Digits of the whole part.
const WIDTH: usize = 4;
const WHOLE_MAX: u32 = BASE.pow(4) - 1;
/// The whole part of the first key in an empty column.
const MIDDLE: u32 = BASE.pow(4) / 2;
/// Where a sweep begins, on either side of the middle: far enough for a column of any allowed length.
const SWEEP_OFFSET: u32 = 4096;

/// A key, taken apart.
struct Parts<'k> {
    generation: u8,
    whole: u32,
    fraction: &'k [u8],
}

fn value(digit: u8) -> u32 {
    DIGITS.iter().position(|known| *known == digit).and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

fn digit(value: u32) -> u8 {
    usize::try_from(value).ok().and_then(|at| DIGITS.get(at)).copied().unwrap_or(b'0')
}

fn parts(key: &str) -> Parts<'_> {
    let bytes = key.as_bytes();
    let whole = bytes.iter().skip(1).take(WIDTH).fold(0, |whole, byte| whole * BASE + value(*byte));
    Parts {
        generation: bytes.first().copied().unwrap_or(b'b'),
        whole,
        fraction: bytes.get(1 + WIDTH..).unwrap_or_default(),
    }
}

fn key(generation: u8, whole: u32, fraction: &[u8]) -> String {
    let mut text = String::with_capacity(1 + WIDTH + fraction.len());
    text.push(char::from(generation));
    for place in (0..4).rev() {
        text.push(char::from(digit(whole / BASE.pow(place) % BASE)));
    }
    text.extend(fraction.iter().copied().map(char::from));
    text
}

/// A fraction between two others, as short as halving allows; it never ends with the digit zero.
fn fraction_between(low: &[u8], high: Option<&[u8]>) -> Vec<u8> {
    let mut found = Vec::with_capacity(low.len() + 1);
    let mut high = high;
    for at in 0.. {
        let below = low.get(at).map_or(0, |byte| value(*byte));
        let above = high.map_or(BASE, |high| high.get(at).map_or(0, |byte| value(*byte)));
        if below == above {
            found.push(digit(below));
            continue;
        }
        let middle = below.midpoint(above);
        if middle > below {
            found.push(digit(middle));
            break;
        }
        if high.is_some_and(|high| high.len() > at + 1) {
            found.push(digit(above));
            break;
        }
        found.push(digit(below));
        high = None;
    }
    found
}

fn behind(low: &str) -> String {
    let Parts { generation, whole, fraction } = parts(low);
    if whole < WHOLE_MAX {
        return key(generation, whole + 1, &[]);
    }
    key(generation, whole, &fraction_between(fraction, None))
}

fn before(high: &str) -> String {
    let Parts { generation, whole, fraction } = parts(high);
    if whole > 1 {
        return key(generation, whole - 1, &[]);
    }
    if whole == 1 {
        return key(generation, 0, &fraction_between(&[], None));
    }
    key(generation, 0, &fraction_between(&[], Some(fraction)))
}

/// A key between two neighbours, either of which may be missing.
fn between(low: Option<&str>, high: Option<&str>) -> String {
    let (low, high) = match (low, high) {
        (None, None) => return key(b'b', MIDDLE, &[]),
        (Some(low), None) => return behind(low),
        (None, Some(high)) => return before(high),
        (Some(low), Some(high)) => (low, high),
    };
    let (below, above) = (parts(low), parts(high));
    if below.generation != above.generation {
        return behind(low);
    }
    match above.whole.saturating_sub(below.whole) {
        0 => key(below.generation, below.whole, &fraction_between(below.fraction, Some(above.fraction))),
        1 if !above.fraction.is_empty() => key(above.generation, above.whole, &[]),
        1 => key(below.generation, below.whole, &fraction_between(below.fraction, None)),
        _ => key(below.generation, below.whole.midpoint(above.whole), &[]),
    }
}

/// A new card's key, and the new keys of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The key of the card that was placed.
    pub key: String,
    /// Cards of the column, by index before the placing, with their new keys; at most [`SWEPT_MAX`].
    pub swept: Vec<(usize, String)>,
}

/// Places a card at an index of a column, whose keys are given in order and without the card's own.
pub fn place<K: AsRef<str>>(column: &[K], index: usize) -> Placed {
    let index = index.min(column.len());
    let own = between(index.checked_sub(1).map(|at| column[at].as_ref()), column.get(index).map(AsRef::as_ref));
    let mut whole: Vec<String> = column.iter().map(|key| key.as_ref().to_owned()).collect();
    let long = own.len() > SWEEP_FROM_LENGTH;
    whole.insert(index, own);
    let mut placed = Placed { key: String::new(), swept: Vec::new() };
    for at in sweep(&mut whole, long) {
        match at.cmp(&index) {
            std::cmp::Ordering::Less => placed.swept.push((at, whole[at].clone())),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => placed.swept.push((at - 1, whole[at].clone())),
        }
    }
    placed.key = whole.swap_remove(index);
    placed
}

/// The keys of cards that are the first of a column, in order.
pub fn first_keys(count: usize) -> impl Iterator<Item = String> {
    let step = |last: &String| Some(behind(last));
    std::iter::successors(Some(between(None, None)), step).take(count)
}

/// Goes on with a sweep, or begins one; answers where keys have changed.
fn sweep(column: &mut [String], begin: bool) -> Vec<usize> {
    let generation = |key: &String| parts(key).generation;
    let (Some(first), Some(last)) = (column.first().map(generation), column.last().map(generation)) else {
        return Vec::new();
    };
    // Where all is settled, the next sweep; else the one that is under way.
    let target = match (first, last) {
        (first, last) if first == last && !begin => return Vec::new(),
        (b'a', b'a' | b'c') => b'c',
        (b'b', _) if last == b'c' => b'b',
        (b'c', _) => b'b',
        _ => b'a',
    };
    let mut changed = Vec::new();
    for _ in 0..SWEPT_MAX {
        let (at, key) = if target == b'c' {
            let Some(at) = column.iter().rposition(|key| generation(key) != target) else { break };
            let next = match column.get(at + 1) {
                Some(next) => before(next),
                None => key(target, MIDDLE + SWEEP_OFFSET, &[]),
            };
            (at, next)
        } else {
            let Some(at) = column.iter().position(|key| generation(key) != target) else { break };
            let next = match at.checked_sub(1) {
                Some(last) => behind(&column[last]),
                None => key(target, MIDDLE - SWEEP_OFFSET, &[]),
            };
            (at, next)
        };
        column[at] = key;
        changed.push(at);
    }
    changed
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// A column of cards as a database keeps it: in the order of its keys.
    #[derive(Default)]
    struct Column {
        cards: Vec<(u32, String)>,
        longest: usize,
        most_swept: usize,
    }

    impl Column {
        fn put(&mut self, card: u32, index: usize) {
            let keys: Vec<&str> = self.cards.iter().map(|(_, key)| key.as_str()).collect();
            let placed = place(&keys, index);
            self.most_swept = self.most_swept.max(placed.swept.len());
            for (at, key) in placed.swept {
                self.cards[at].1 = key;
            }
            self.cards.insert(index, (card, placed.key));
            self.longest = self.longest.max(self.cards.iter().map(|(_, key)| key.len()).max().unwrap_or(0));
            let sorted = self.cards.is_sorted_by(|a, b| a.1 < b.1);
            assert!(sorted, "{:?}", self.cards);
        }

        fn take(&mut self, card: u32) {
            self.cards.retain(|(other, _)| *other != card);
        }
    }

    fn filled(count: u32) -> Column {
        let mut column = Column::default();
        for card in 0..count {
            column.put(card, column.cards.len());
        }
        column
    }

    #[test]
    fn a_key_lies_between_its_neighbours() {
        let first = between(None, None);
        assert!(before(&first) < first && first < behind(&first));
        let (mut low, high) = (first.clone(), behind(&first));
        for _ in 0..100 {
            let next = between(Some(&low), Some(&high));
            assert!(low < next && next < high, "{low} {next} {high}");
            low = next;
        }
        let mut edge = key(b'b', 2, &[]);
        for _ in 0..100 {
            let next = before(&edge);
            assert!(next < edge && !next.ends_with("00"), "{next}");
            edge = next;
        }
        let mut edge = key(b'b', WHOLE_MAX - 1, &[]);
        for _ in 0..100 {
            let next = behind(&edge);
            assert!(next > edge, "{next}");
            edge = next;
        }
        assert!(first_keys(1_000).collect::<Vec<_>>().is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn the_worst_place_for_a_thousand_cards_costs_few_rows_and_keeps_keys_short() {
        for spot in [1, 998] {
            let mut column = filled(1_000);
            for turn in 0..600_u32 {
                // Always behind the same card, and always another one.
                let card = column.cards[(spot + 200) % 1_000].0;
                let stays = column.cards[spot].0;
                if card == stays {
                    continue;
                }
                column.take(card);
                let at = column.cards.iter().position(|(other, _)| *other == stays).unwrap();
                column.put(card, at + usize::from(turn % 7 != 0));
            }
            assert_eq!(column.cards.len(), 1_000);
            assert!(column.most_swept <= SWEPT_MAX, "{}", column.most_swept);
            assert!(column.longest <= RANK_LENGTH_MAX / 2, "{}", column.longest);
        }
    }

    #[test]
    fn two_cards_that_change_places_for_ever_keep_their_keys_short() {
        let mut column = filled(3);
        for turn in 0..1_000 {
            let card = 1 + turn % 2;
            column.take(card);
            column.put(card, 1);
        }
        assert!(column.longest <= SWEEP_FROM_LENGTH + 2, "{}", column.longest);
    }

    #[test]
    fn moves_at_random_keep_every_card_once() {
        for seed in 0..20 {
            let mut rng = StdRng::seed_from_u64(seed);
            let count = rng.random_range(1..60);
            let mut column = filled(count);
            for _ in 0..500 {
                let card = rng.random_range(0..count);
                column.take(card);
                let most: usize = rng.random_range(0..60);
                let index = rng.random_range(0..=column.cards.len().min(most));
                column.put(card, index);
            }
            let mut cards: Vec<u32> = column.cards.iter().map(|(card, _)| *card).collect();
            cards.sort_unstable();
            assert_eq!(cards, (0..count).collect::<Vec<_>>());
        }
    }
}
