//! The kernel's answers: each is written once, however many leases share it.

use dhcp_ebpf::publish;
use dhcp_ebpf::slot::{AnswerHead, CHUNK_CELLS, MAX_BODY, Place, answer_head};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher as _;

use super::body::Body;
use super::chunks::Chunks;
use super::memory::{Region, SharedCells};

/// The chunk map, the places of its answers, and how many memos point at each.
pub struct Answers {
    memory: Region,
    chunks: Chunks,
    /// How many memos give the answer that begins at a chunk; as many as were ever needed.
    uses: Vec<u32>,
    /// The answers in use, by their contents.
    written: HashTable<Place>,
    hasher: DefaultHashBuilder,
}

impl Answers {
    /// Answers in the chunk map, of which those that memos point at (each as often as one does) are there already.
    #[must_use]
    pub fn adopt(memory: Region, memos: impl IntoIterator<Item = Place>) -> Self {
        let mut answers = Self {
            memory,
            chunks: Chunks::default(),
            uses: Vec::new(),
            written: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        let mut extents = Vec::new();
        for place in memos {
            let Some(chunks) = extent(&answers.memory, place) else { continue };
            let uses = answers.uses_of(place);
            *uses += 1;
            if *uses == 1 {
                extents.push((place.0, chunks));
                answers.file(place);
            }
        }
        let capacity = u32::try_from(answers.memory.cells().len() / CHUNK_CELLS).unwrap_or(u32::MAX);
        answers.chunks = Chunks::with_used(capacity, extents);
        answers
    }

    /// Where this answer lies, for one memo more: it is written if it is new. `None`: there is no room.
    #[must_use]
    pub fn give(&mut self, body: &Body) -> Option<Place> {
        let hash = self.hasher.hash_one((body.head.cells(), &body.bytes[..]));
        let found = self.written.find(hash, |place| self.says(*place, body)).copied();
        let place = match found {
            Some(place) => place,
            None => self.write(body)?,
        };
        *self.uses_of(place) += 1;
        Some(place)
    }

    /// The answer at `place`, which is in use, for one memo more.
    pub fn give_again(&mut self, place: Place) -> Place {
        *self.uses_of(place) += 1;
        place
    }

    fn write(&mut self, body: &Body) -> Option<Place> {
        let count = u32::try_from(publish::chunks_for(body.bytes.len())).ok()?;
        let place = Place(self.chunks.take(count)?);
        publish::write_answer(&body.head, &body.bytes, |index| {
            chunk(&self.memory, place, index)
                .unwrap_or_else(|| unreachable!("chunk {}+{index} was handed out by the allocator", place.0))
        });
        self.file(place);
        Some(place)
    }

    /// One memo less gives the answer at `place`: that memo is void, and its lease's word has been changed since.
    ///
    /// After the last one the memory is free for other answers.
    pub fn take_back(&mut self, place: Place) {
        let Some(uses) = self.uses.get_mut(place.0 as usize).filter(|uses| **uses > 0) else { return };
        *uses -= 1;
        if *uses > 0 {
            return;
        }
        let hash = hash(&self.memory, &self.hasher, place);
        if let Ok(entry) = self.written.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        if let Some(chunks) = extent(&self.memory, place) {
            self.chunks.release(place.0, chunks);
        }
    }

    /// Whether the answer at `place` is this one.
    #[must_use]
    pub fn says(&self, place: Place, body: &Body) -> bool {
        let mut found = [0; MAX_BODY];
        read(&self.memory, place, &mut found) == Some((body.head, &body.bytes[..]))
    }

    /// An answer's head and body. `None`: none lies at `place`.
    #[must_use]
    pub fn answer(&self, place: Place) -> Option<(AnswerHead, Vec<u8>)> {
        let mut found = [0; MAX_BODY];
        read(&self.memory, place, &mut found).map(|(head, body)| (head, body.to_vec()))
    }

    /// The chunks as the packet logic sees them.
    pub(super) fn memory(&self) -> SharedCells<'_> {
        self.memory.cells()
    }

    /// Enters an answer under what it says.
    fn file(&mut self, place: Place) {
        let Self { memory, written, hasher, .. } = self;
        written.insert_unique(hash(memory, hasher, place), place, |other| hash(memory, hasher, *other));
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many by then")]
    fn uses_of(&mut self, place: Place) -> &mut u32 {
        let at = place.0 as usize;
        if self.uses.len() <= at {
            self.uses.resize(at + 1, 0);
        }
        &mut self.uses[at]
    }
}

fn chunk(memory: &Region, place: Place, index: usize) -> Option<SharedCells<'_>> {
    let at = place.0.checked_add(u32::try_from(index).ok()?)?;
    memory.cells().element(at, CHUNK_CELLS)
}

/// How many chunks the answer at `place` takes. `None`: there is no answer.
fn extent(memory: &Region, place: Place) -> Option<u32> {
    let len = usize::from(answer_head(chunk(memory, place, 0)?).len);
    let chunks = publish::chunks_for(len);
    let last = chunk(memory, place, chunks - 1);
    if len > MAX_BODY || last.is_none() { None } else { u32::try_from(chunks).ok() }
}

fn read<'a>(memory: &Region, place: Place, into: &'a mut [u8; MAX_BODY]) -> Option<(AnswerHead, &'a [u8])> {
    extent(memory, place)?;
    let head = publish::read_answer(
        |index| chunk(memory, place, index).unwrap_or_else(|| unreachable!("an answer's extent was checked")),
        into,
    );
    into.get(..usize::from(head.len)).map(|body| (head, body))
}

fn hash(memory: &Region, hasher: &DefaultHashBuilder, place: Place) -> u64 {
    let mut found = [0; MAX_BODY];
    read(memory, place, &mut found).map_or(0, |(head, body)| hasher.hash_one((head.cells(), body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(fill: u8, len: usize) -> Body {
        let bytes = vec![fill; len];
        let head = publish::head_of(&bytes, 240, 60, dhcp_ebpf::abi::NetAddr::UNSPECIFIED).unwrap();
        Body { head, bytes }
    }

    fn empty(chunks: usize) -> Answers {
        Answers::adopt(Region::heap(chunks * CHUNK_CELLS), [])
    }

    #[test]
    fn an_answer_is_written_once_and_stays_until_its_last_use() {
        let mut answers = empty(1);
        let place = answers.give(&body(1, 64)).unwrap();
        assert_eq!(answers.give(&body(1, 64)), Some(place));
        assert_eq!(answers.give(&body(2, 64)), None, "there is no room for another");
        answers.take_back(place);
        assert_eq!(answers.give(&body(2, 64)), None, "it is in use still");
        answers.take_back(place);
        assert_eq!(answers.give(&body(2, 64)), Some(place));
        assert_eq!(answers.answer(place), Some((body(2, 64).head, vec![2; 64])));
        assert!(!answers.says(place, &body(1, 64)));
    }

    #[test]
    fn answers_that_were_there_are_found_again_and_kept_for_all_who_use_them() {
        let mut before = empty(8);
        let places = [1, 2, 3].map(|fill| before.give(&body(fill, 300)));
        let [Some(first), Some(second), None] = places else {
            panic!("two of three chunks each: {places:?}")
        };
        let mut after = Answers::adopt(before.memory, [second, first, second]);
        assert_eq!(after.give(&body(2, 300)), Some(second));
        for left in [3, 2, 1] {
            assert_eq!(after.give(&body(3, 300)), None, "{left} uses are left");
            after.take_back(second);
        }
        assert_eq!(after.give(&body(3, 300)), Some(second));
        assert!(after.says(first, &body(1, 300)));
    }

    #[test]
    fn what_is_no_answer_is_not_adopted() {
        let mut answers = Answers::adopt(Region::heap(2 * CHUNK_CELLS), [Place(2), Place(u32::MAX)]);
        assert_eq!(answers.answer(Place(7)), None);
        assert!(answers.give(&body(1, 200)).is_some());
    }
}
