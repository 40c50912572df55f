//! The free chunks of the chunk map.

/// Hands out runs of chunks that follow each other.
///
/// Freed runs are kept by their length; a longer one is split only when nothing fits. Answers come in few lengths,
/// so what is freed is soon what is wanted.
#[derive(Debug, Default)]
pub struct Chunks {
    /// `free[n]`: first chunks of free runs of `n`.
    free: Vec<Vec<u32>>,
    /// From here on nothing was ever handed out.
    fresh: u32,
    capacity: u32,
}

impl Chunks {
    /// All of `capacity` chunks free.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self { free: Vec::new(), fresh: 0, capacity }
    }

    /// Chunks of which `used` (first, count), in any order, are taken.
    #[must_use]
    pub fn with_used(capacity: u32, mut used: Vec<(u32, u32)>) -> Self {
        used.sort_unstable();
        let mut chunks = Self::new(capacity);
        for (first, count) in used {
            if first > chunks.fresh {
                chunks.release(chunks.fresh, first - chunks.fresh);
            }
            chunks.fresh = chunks.fresh.max(first.saturating_add(count).min(capacity));
        }
        chunks
    }

    /// Takes `count` chunks in a row; gives the first. `None`: there is no such run.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        if let Some(first) = self.free.get_mut(count as usize).and_then(Vec::pop) {
            return Some(first);
        }
        if count <= self.capacity - self.fresh {
            let first = self.fresh;
            self.fresh += count;
            return Some(first);
        }
        let mut longer = self.free.iter_mut().enumerate().skip(count as usize + 1);
        let (longer, first) = longer.find_map(|(len, runs)| Some((len, runs.pop()?)))?;
        #[expect(clippy::cast_possible_truncation, reason = "runs are no longer than the map")]
        self.release(first + count, longer as u32 - count);
        Some(first)
    }

    /// Gives back `count` chunks from `first`.
    pub fn release(&mut self, first: u32, count: u32) {
        let len = count as usize;
        if self.free.len() <= len {
            self.free.resize(len + 1, Vec::new());
        }
        if let Some(runs) = self.free.get_mut(len) {
            runs.push(first);
        }
    }

    /// How many chunks are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "no more than the map has")]
        let free = self.free.iter().enumerate().map(|(len, runs)| (len * runs.len()) as u32).sum::<u32>();
        self.fresh - free
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;

    #[test]
    fn what_is_released_is_handed_out_again_and_nothing_twice() {
        let mut chunks = Chunks::new(8);
        let first = chunks.take(3).unwrap();
        let second = chunks.take(3).unwrap();
        assert_ne!(first, second);
        assert_eq!(chunks.take(3), None, "two are left");
        chunks.release(first, 3);
        assert_eq!(chunks.take(3), Some(first));
        assert_eq!(chunks.taken(), 6);
    }

    #[test]
    fn a_longer_run_is_split_when_nothing_fits() {
        let mut chunks = Chunks::new(4);
        let all = chunks.take(4).unwrap();
        chunks.release(all, 4);
        let taken: Vec<_> = (0..4).map(|_| chunks.take(1).unwrap()).collect();
        assert_eq!(std::collections::BTreeSet::from_iter(&taken).len(), 4);
        assert_eq!(chunks.take(1), None);
    }

    #[test]
    fn what_was_found_used_is_never_handed_out() {
        let mut chunks = Chunks::with_used(10, vec![(6, 2), (1, 3)]);
        assert_eq!(chunks.taken(), 5);
        let mut left = Vec::new();
        while let Some(chunk) = chunks.take(1) {
            left.push(chunk);
        }
        left.sort_unstable();
        assert_eq!(left, [0, 4, 5, 8, 9]);
    }
}
