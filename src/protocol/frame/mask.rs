//! Masking (RFC 6455 §5.3).

/// Removes, or puts on, the mask of a payload that begins where the mask does. O(payload), in steps of a word, which
/// the compiler turns into vectors.
#[inline]
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let half = u64::from(u32::from_ne_bytes(mask));
    let mask_of_word = half << 32 | half;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ mask_of_word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}
