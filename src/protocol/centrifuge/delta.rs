//! Fossil's delta format: a text as copies from another, and what is new.
//!
//! `SIZE\n`, then segments `LENGTH@OFFSET,` (copy from the base) or `LENGTH:BYTES` (insert), then `CHECKSUM;`. Numbers
//! are in base 64 of `DIGITS`, most significant digit first.

/// Bytes of the base that are found by hash; a shorter match is not looked for.
const BLOCK_BYTES: usize = 16;
/// Most places of the base with the same hash that are tried: bounds the time for bases that repeat themselves.
const TRIES_MAX: usize = 16;
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Appends what makes `target` out of `base`.
///
/// If `target` is UTF-8, so is the delta: an insert begins and ends between characters. Takes time in proportion to the
/// target's length times `TRIES_MAX` at worst, and memory in proportion to the base's.
///
/// # Panics
/// A text has 4 GiB or more.
pub fn encode(base: &[u8], target: &[u8], out: &mut Vec<u8>) {
    number(out, target.len());
    out.push(b'\n');
    let blocks = Blocks::new(base);
    let (mut written, mut at) = (0, 0);
    // Of the block at `at`, unless a copy has just ended there.
    let mut rolling = None;
    while at + BLOCK_BYTES <= target.len() {
        let hash = rolling.get_or_insert_with(|| Rolling::new(&target[at..at + BLOCK_BYTES]));
        match blocks.longest(hash.value(), target, written, at) {
            Some(copy) => {
                insert(out, &target[written..copy.target_start]);
                number(out, copy.length);
                out.push(b'@');
                number(out, copy.base_start);
                out.push(b',');
                written = copy.target_start + copy.length;
                at = written;
                rolling = None;
            }
            None => {
                if let Some(next) = target.get(at + BLOCK_BYTES) {
                    hash.roll(target[at], *next);
                }
                at += 1;
            }
        }
    }
    insert(out, &target[written..]);
    number32(out, checksum(target));
    out.push(b';');
}

/// The sum of `bytes` as big-endian words of 32 bits, the last one padded with zeros.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.chunks(4).fold(0, |sum: u32, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

fn insert(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        number(out, bytes.len());
        out.push(b':');
        out.extend_from_slice(bytes);
    }
}

fn number32(out: &mut Vec<u8>, number: u32) {
    let digits = number.checked_ilog(64).unwrap_or(0);
    for digit in (0..=digits).rev() {
        out.push(DIGITS[(number >> (6 * digit)) as usize & 63]);
    }
}

/// The format's numbers have 32 bits; so have lengths of messages.
fn number(out: &mut Vec<u8>, number: usize) {
    number32(out, u32::try_from(number).expect("a message is shorter than 4 GiB"));
}

/// How many digits a number has.
fn digits(number: usize) -> usize {
    number.checked_ilog(64).unwrap_or(0) as usize + 1
}

/// Part of the target that is in the base too.
struct Copy {
    base_start: usize,
    target_start: usize,
    length: usize,
}

/// Where the base's blocks are, by hash.
struct Blocks<'a> {
    base: &'a [u8],
    /// By hash: a block's number and 1; 0 is none.
    last: Vec<u32>,
    /// By block: the one before with the same hash, and 1.
    before: Vec<u32>,
}

impl<'a> Blocks<'a> {
    fn new(base: &'a [u8]) -> Self {
        let count = base.len() / BLOCK_BYTES;
        let mut blocks = Self { base, last: vec![0; (count * 2).next_power_of_two()], before: vec![0; count] };
        for (index, block) in base.chunks_exact(BLOCK_BYTES).enumerate() {
            let slot = blocks.slot(Rolling::new(block).value());
            let number = u32::try_from(index + 1).expect("a message is shorter than 4 GiB");
            blocks.before[index] = std::mem::replace(&mut blocks.last[slot], number);
        }
        blocks
    }

    fn slot(&self, hash: u32) -> usize {
        // Multiplied, so that the high bits matter to the slot (Knuth's constant).
        (hash.wrapping_mul(0x9e37_79b1) >> 8) as usize & (self.last.len() - 1)
    }

    /// The longest part of `target` from `written` on that matches around a block found at `at`, and pays for itself.
    fn longest(&self, hash: u32, target: &[u8], written: usize, at: usize) -> Option<Copy> {
        let mut best: Option<Copy> = None;
        let mut next = self.last[self.slot(hash)];
        for _ in 0..TRIES_MAX {
            let Some(index) = (next as usize).checked_sub(1) else { break };
            next = self.before[index];
            let start = index * BLOCK_BYTES;
            let forwards = same(self.base[start..].iter(), target[at..].iter());
            if forwards < BLOCK_BYTES {
                continue;
            }
            let backwards = same(self.base[..start].iter().rev(), target[written..at].iter().rev());
            let copy =
                Copy { base_start: start - backwards, target_start: at - backwards, length: forwards + backwards };
            let copy = copy.between_characters(target);
            let cost = digits(copy.length) + digits(copy.base_start) + digits(copy.target_start - written) + 3;
            if copy.length > cost && best.as_ref().is_none_or(|best| copy.length > best.length) {
                best = Some(copy);
            }
        }
        best
    }
}

impl Copy {
    /// The part of it that begins and ends where a character of UTF-8 begins.
    fn between_characters(self, target: &[u8]) -> Self {
        let is_inside = |at: usize| target.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let (mut start, mut end) = (self.target_start, self.target_start + self.length);
        while start < end && is_inside(start) {
            start += 1;
        }
        while start < end && is_inside(end) {
            end -= 1;
        }
        Self { base_start: self.base_start + (start - self.target_start), target_start: start, length: end - start }
    }
}

/// How many bytes at the beginning are the same.
fn same<'a>(left: impl Iterator<Item = &'a u8>, right: impl Iterator<Item = &'a u8>) -> usize {
    left.zip(right).take_while(|(left, right)| left == right).count()
}

/// Fossil's hash of a block: a sum, and a sum weighted by place; a byte further costs no more than a byte.
#[derive(Clone, Copy, Default)]
struct Rolling {
    sum: u16,
    weighted: u16,
}

impl Rolling {
    fn new(block: &[u8]) -> Self {
        block.iter().fold(Self::default(), |hash, byte| {
            let sum = hash.sum.wrapping_add(u16::from(*byte));
            Self { sum, weighted: hash.weighted.wrapping_add(sum) }
        })
    }

    fn roll(&mut self, out: u8, next: u8) {
        const LENGTH: u16 = 16;
        self.sum = self.sum.wrapping_sub(u16::from(out)).wrapping_add(u16::from(next));
        self.weighted = self.weighted.wrapping_sub(LENGTH.wrapping_mul(u16::from(out))).wrapping_add(self.sum);
    }

    fn value(self) -> u32 {
        u32::from(self.sum) | u32::from(self.weighted) << 16
    }
}
