//! Which partition librdkafka will choose for a key: `murmur2_random`, as the clients in Java and Go have it.

/// The partition that `murmur2_random` gives a key. Should an operator have set another partitioner, a lane has the events of
/// several partitions: they still keep their order.
pub(super) fn partition(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// `MurmurHash2` as Kafka's clients use it.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mix = |word: u32| {
        let word = word.wrapping_mul(M);
        (word ^ (word >> 24)).wrapping_mul(M)
    };
    // Kafka's clients, too, hash the length as 32 bits.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks();
    let hash = words.iter().fold(SEED ^ length, |hash, word| hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word)));
    let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
    let hash = if rest.is_empty() { hash } else { (hash ^ tail).wrapping_mul(M) };
    let hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Apache Kafka's own vectors (`UtilsTest.testMurmur2`).
    #[test]
    fn keys_are_hashed_as_in_kafkas_clients() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
