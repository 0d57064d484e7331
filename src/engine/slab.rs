//! Connections by number, in chunks.
//!
//! A vector that doubles holds up to three times what it needs while it grows, and moves every entry; chunks cost at
//! most one chunk more than needed and move nothing. Numbers of removed entries are used again, last first.

/// Entries of one chunk: 512 entries of 64 bytes are 32 KiB.
const CHUNK_LEN: usize = 512;

/// Maps numbers, which it hands out, to entries. Insert, remove and access are O(1).
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// How many entries there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// One more than the largest number ever handed out: for walks over all entries.
    pub(crate) fn numbers_end(&self) -> u32 {
        let last = self.chunks.last().map_or(0, Vec::len);
        number(self.chunks.len().saturating_sub(1) * CHUNK_LEN + last)
    }

    /// The number that the next entry will get.
    pub(crate) fn next_number(&self) -> u32 {
        self.free.last().copied().unwrap_or_else(|| self.numbers_end())
    }

    /// Adds `entry` and returns its number.
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        self.len += 1;
        if let Some(free) = self.free.pop() {
            let (chunk, index) = split(free);
            self.chunks[chunk][index] = Some(entry);
            return free;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_LEN) {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        let chunks = self.chunks.len();
        let last = self.chunks.last_mut().expect("a chunk with room was just ensured");
        last.push(Some(entry));
        number((chunks - 1) * CHUNK_LEN + last.len() - 1)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, index) = split(number);
        self.chunks.get(chunk)?.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, index) = split(number);
        self.chunks.get_mut(chunk)?.get_mut(index)?.as_mut()
    }

    /// Takes the entry out. When none is left the memory goes back.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let (chunk, index) = split(number);
        let entry = self.chunks.get_mut(chunk)?.get_mut(index)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.chunks = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(number);
        }
        Some(entry)
    }
}

fn split(number: u32) -> (usize, usize) {
    let number = number as usize;
    (number / CHUNK_LEN, number % CHUNK_LEN)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a shard has fewer than 2^32 connections and rooms: file descriptors are 31 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_memory_goes_back() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..1_000).map(|i| slab.insert(i)).collect();
        assert_eq!(slab.len(), 1_000);
        assert_eq!(slab.numbers_end(), 1_000);
        assert_eq!(slab.remove(numbers[700]), Some(700));
        assert_eq!(slab.remove(numbers[700]), None);
        assert_eq!(slab.get(numbers[700]), None);
        assert_eq!(slab.next_number(), numbers[700]);
        assert_eq!(slab.insert(-1), numbers[700]);
        assert_eq!(slab.next_number(), 1_000);
        assert_eq!(slab.get(999), Some(&999));
        assert_eq!(slab.get(1_000), None);
        for number in numbers {
            slab.remove(number);
        }
        assert_eq!((slab.len(), slab.chunks.capacity(), slab.free.capacity()), (0, 0, 0));
    }
}
