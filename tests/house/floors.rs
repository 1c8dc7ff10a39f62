//! The floors that the table in `src/lib.rs` draws: one row for each floor, from the top down.

use std::collections::{BTreeMap, BTreeSet};

const LIB: &str = include_str!("../../src/lib.rs");

/// The floor of each room.
pub struct Floors(BTreeMap<String, usize>);

impl Floors {
    /// As `src/lib.rs` draws them: rows such as `//! | 3 | [verify] [journal] |`.
    pub fn drawn() -> Self {
        Floors::read(LIB)
    }

    pub fn read(text: &str) -> Self {
        let mut floors = BTreeMap::new();
        for row in text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
            let mut cells = row.split('|').map(str::trim);
            let (Some(Ok(floor)), Some(rooms)) = (cells.next().map(str::parse), cells.next()) else { continue };
            for room in rooms.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
                if !room.is_empty() {
                    assert!(floors.insert(room.to_owned(), floor).is_none(), "{room} stands on two floors");
                }
            }
        }
        Floors(floors)
    }

    /// The floor of a room; of one that is not drawn, 0.
    pub fn of(&self, room: &str) -> usize {
        self.0.get(room).copied().unwrap_or(0)
    }

    /// Rooms that are drawn and not there, or there and not drawn.
    pub fn unlike(&self, rooms: &BTreeSet<String>) -> Vec<String> {
        let drawn: BTreeSet<String> = self.0.keys().cloned().collect();
        drawn.symmetric_difference(rooms).cloned().collect()
    }
}
