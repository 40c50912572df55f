//! The hash of questions against pairs made to collide, over thousands of keys.
//!
//! A client can choose its options, but not the keys. So for any two questions, however alike, the hashes must look
//! unrelated over the choice of keys: what a weaker hash fails at is shown to be seen here.

mod twin;

use dhcp_ebpf::abi::{Link, Mac, NetAddr};
use dhcp_ebpf::question::{Asker, Keys, hash_parts};
use std::collections::HashSet;
use std::sync::LazyLock;
use twin::maps::keys;

type Question = (Asker, Vec<u8>);

const DRAWS: usize = 2048;
static KEYS: LazyLock<Vec<Keys>> =
    LazyLock::new(|| (0..DRAWS as u64).map(|seed| keys(seed << 32 | 1)).collect());

/// 64-bit words of options in the questions.
const WORDS: usize = 16;

fn question() -> Question {
    let asker = Asker {
        link: Link { ifindex: 3, outer: 200, inner: 100 },
        chaddr: Mac::from([2, 0, 0, 0, 0, 1]),
        ciaddr: NetAddr(0x0100_00c0),
        giaddr: NetAddr(0x0100_00cb),
        relay_src: NetAddr(0x0200_00cb),
    };
    (asker, (0..8 * WORDS).map(|at| u8::try_from(at * 5 % 251).unwrap_or(0) & 0x7f).collect())
}

/// The question with bits of its options flipped: word and bit of each.
fn flipped(bits: &[(usize, u32)]) -> Question {
    let (asker, mut options) = question();
    for (word, bit) in bits {
        options[8 * word + *bit as usize / 8] ^= 1 << (bit % 8);
    }
    (asker, options)
}

/// The question with its options' words in another order.
fn reordered(order: impl Fn(&mut [[u8; 8]])) -> Question {
    let (asker, options) = question();
    let mut words: Vec<[u8; 8]> =
        options.chunks_exact(8).map(|word| word.try_into().unwrap_or_default()).collect();
    order(&mut words);
    (asker, words.concat())
}

/// Questions that differ from [`question`] as little, or as awkwardly for sums of products, as can be.
fn near() -> Vec<(String, Question)> {
    let mut near = Vec::new();
    for bit in 0..64 {
        near.push((format!("bit {bit} of one word"), flipped(&[(0, bit)])));
        near.push((format!("bit {bit} of two words"), flipped(&[(0, bit), (1, bit)])));
        near.push((format!("bit {bit} of two words apart"), flipped(&[(3, bit), (15, bit)])));
    }
    let everywhere: Vec<_> = (0..WORDS).map(|word| (word, 63)).collect();
    for count in [3, 4, 8, WORDS] {
        near.push((format!("the highest bit of {count} words"), flipped(&everywhere[..count])));
    }
    near.push(("both highest bits of a word".into(), flipped(&[(2, 31), (2, 63)])));
    near.push(("the highest and the lowest bit".into(), flipped(&[(2, 63), (3, 0)])));
    near.push(("two words swapped".into(), reordered(|words| words.swap(0, 1))));
    near.push(("all words turned round".into(), reordered(<[_]>::reverse)));
    near.push((
        "halves swapped".into(),
        reordered(|words| words.iter_mut().for_each(|word| word.rotate_left(4))),
    ));
    let (base, options) = question();
    let askers = [
        ("ciaddr and giaddr swapped", Asker { ciaddr: base.giaddr, giaddr: base.ciaddr, ..base }),
        ("VLAN ids swapped", Asker { link: Link { outer: 100, inner: 200, ..base.link }, ..base }),
        (
            "the highest bit of an inner VLAN id",
            Asker { link: Link { inner: 100 | 0x800, ..base.link }, ..base },
        ),
        ("the highest bit of chaddr", Asker { chaddr: Mac::from([2, 0, 0, 0, 0, 0x81]), ..base }),
        ("the highest bit of giaddr", Asker { giaddr: NetAddr(base.giaddr.0 ^ 1 << 31), ..base }),
        ("the relay's address", Asker { relay_src: NetAddr(base.relay_src.0 ^ 1 << 31), ..base }),
        ("no relay", Asker { relay_src: NetAddr::UNSPECIFIED, ..base }),
    ];
    near.extend(askers.into_iter().map(|(what, asker)| (what.to_owned(), (asker, options.clone()))));
    let mut longer = options.clone();
    longer.extend([0, 0, 0, 0, 0, 0, 0, 0x80]);
    near.push(("one more byte behind zeros".into(), (base, longer)));
    near.push(("the last byte gone".into(), (base, options[..8 * WORDS - 1].to_vec())));
    near
}

/// What is wrong with a hash, seen over many keys, for a pair of questions: bits that don't change in half of the
/// cases, bytes that agree too often, and collisions.
fn fault(hash: impl Fn(&Keys, &Question) -> u64, one: &Question, other: &Question) -> Option<String> {
    let mut ones = [0usize; 64];
    let mut equal_bytes = [0usize; 8];
    for keys in KEYS.iter() {
        let difference = hash(keys, one) ^ hash(keys, other);
        if difference == 0 {
            return Some("a collision".into());
        }
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += usize::from(difference >> bit & 1 == 1);
        }
        for (count, byte) in equal_bytes.iter_mut().zip(difference.to_le_bytes()) {
            *count += usize::from(byte == 0);
        }
    }
    // Six standard deviations: some ten thousand such checks fail by chance once in a hundred thousand such tests.
    let odd_bit = ones.iter().position(|count| count.abs_diff(DRAWS / 2) > 6 * 23);
    let odd_byte = equal_bytes.iter().position(|count| *count > DRAWS / 256 + 6 * 3 + 6);
    odd_bit
        .map(|bit| format!("bit {bit} changes in {} of {DRAWS}", ones[bit]))
        .or_else(|| odd_byte.map(|byte| format!("byte {byte} agrees in {} of {DRAWS}", equal_bytes[byte])))
}

fn ours(keys: &Keys, (asker, options): &Question) -> u64 {
    hash_parts(keys, asker, options).expect("one in 2^64 is refused").0
}

#[test]
fn questions_made_to_collide_look_unrelated() {
    let question = question();
    for (what, near) in near() {
        assert_eq!(fault(ours, &question, &near), None, "{what}");
    }
}

/// A product with 64 bits keeps nothing of a word's highest bit but in its own highest: half the keys don't see it.
#[test]
fn words_taken_whole_would_collide() {
    let whole = |keys: &Keys, (_, options): &Question| {
        let sum = |lane: usize| {
            options.chunks(8).enumerate().fold(keys.0[127][lane], |sum, (at, bytes)| {
                let word = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
                sum.wrapping_add(word.wrapping_mul(keys.0[at][lane]))
            })
        };
        sum(0) >> 32 << 32 | sum(2) >> 32
    };
    let question = question();
    assert_eq!(fault(whole, &question, &flipped(&[(0, 63)])).as_deref(), Some("a collision"));
    assert_eq!(fault(whole, &question, &flipped(&[(0, 63), (1, 63)])).as_deref(), Some("a collision"));
}

/// The lower half of a sum of products depends on the lower halves of the words only.
#[test]
fn the_lower_half_of_a_sum_would_collide() {
    let lower = |keys: &Keys, (_, options): &Question| {
        let halves = options.chunks(4).enumerate();
        let lane = |lane: usize| {
            halves.clone().fold(0u64, |sum, (at, bytes)| {
                let half = bytes.iter().rev().fold(0u64, |half, byte| half << 8 | u64::from(*byte));
                sum.wrapping_add(half.wrapping_mul(keys.0[at][lane]))
            })
        };
        lane(0) << 32 | lane(1) & 0xffff_ffff
    };
    assert!(fault(lower, &question(), &flipped(&[(0, 31)])).is_some());
}

#[test]
fn all_sets_of_highest_bits_hash_apart() {
    let keys = keys(1);
    for bit in [31, 63] {
        let hashes: HashSet<u64> = (0..1u32 << WORDS)
            .map(|set| {
                let bits: Vec<_> =
                    (0..WORDS).filter(|word| set >> word & 1 == 1).map(|word| (word, bit)).collect();
                ours(&keys, &flipped(&bits))
            })
            .collect();
        assert_eq!(hashes.len(), 1 << WORDS);
    }
}
