//! The lease table against the packet logic that runs in the kernel, both on the host over the same memory.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dhcp_ebpf::abi::{CLOCK_LAG, Link, Mac, NetAddr, RunKey};
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::lease::{BootSecs, Now, Word};
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::renewal::{self, Maps};
use dhcp_ebpf::slot::{CHUNK_CELLS, Destination, MEMOS, SLOT_CELLS, Slot};
use dhcp_ebpf::verdict::{Renewal, Verdict, Why};
use dhcp_ebpf::wire::bootp;

use super::frames::frame;
use super::leases::hints::{HeapHints, Hints};
use super::leases::memory::{Region, SharedCells};
use super::leases::table::{Overtaken, Table};
use crate::message::Request;
use crate::policy::{Answer, Basis, Ground, Memo, Publication, Question, Reply, Words as _};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OURS: [u8; 6] = [2, 0x53, 0, 0, 0, 1];
const CLIENT: [u8; 6] = [2, 0x43, 0, 0, 0, 1];
const LINK: Link = Link { ifindex: 7, outer: 0, inner: 0 };
const NOW: u64 = 1_000_000_000_000;
const LEASE_TIME: u32 = 3600;

/// Hints that the table writes and the packet logic reads.
#[derive(Clone, Default)]
struct SharedHints(Arc<Mutex<HeapHints>>);

impl Hints for SharedHints {
    fn lead_run(&mut self, key: RunKey, first: u32) -> anyhow::Result<()> {
        self.0.lock().unwrap().lead_run(key, first)
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> anyhow::Result<()> {
        self.0.lock().unwrap().lead_question(hash, slot)
    }

    fn drop_interface(&mut self, ifindex: u32) {
        self.0.lock().unwrap().drop_interface(ifindex);
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        self.0.lock().unwrap().drop_question(hash, slot);
    }
}

fn keys() -> Keys {
    let mut word = 1u64;
    let mut next = || {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        word
    };
    Keys(std::array::from_fn(|_| std::array::from_fn(|_| next())))
}

/// A table on the heap, and the packet logic's view of it.
struct World {
    table: Table,
    hints: SharedHints,
    keys: Keys,
}

impl World {
    fn new() -> Self {
        Self::over(Region::heap(512 * SLOT_CELLS), Region::heap(8 * CHUNK_CELLS), SharedHints::default())
    }

    fn over(slots: Region, answers: Region, hints: SharedHints) -> Self {
        let mut table = Table::new(slots, answers, Box::new(keys()), Box::new(hints.clone()));
        table.reserve(ADDRESS).unwrap();
        Self { table, hints, keys: keys() }
    }

    /// The kernel's verdict on a request, and the resulting frame.
    fn kernel(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut buffer = frame.to_vec();
        buffer.resize(frame.len() + 1024, 0x5a);
        let mut frame = HostFrame::new(&mut buffer, frame.len());
        let verdict = renewal::handle(&mut frame, &self, LINK.ifindex, Now::at(NOW));
        (verdict, frame.bytes().to_vec())
    }

    fn word(&self) -> Word {
        self.table.load(ADDRESS)
    }
}

impl<'a> Maps for &'a World {
    type Cells = SharedCells<'a>;

    fn interface(&self, ifindex: u32) -> Option<Mac> {
        (ifindex == LINK.ifindex).then(|| OURS.into())
    }

    fn is_ours(&self, address: NetAddr) -> bool {
        address == SERVER.into()
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn run(&self, key: RunKey) -> Option<u32> {
        self.hints.0.lock().unwrap().runs.get(&key).copied()
    }

    fn asked(&self, hash: Hash) -> Option<u32> {
        self.hints.0.lock().unwrap().questions.get(&hash.0).copied()
    }

    fn slot(&self, index: u32) -> Option<Slot<SharedCells<'a>>> {
        self.table.memory().0.slot(index)
    }

    fn chunk(&self, index: u32) -> Option<SharedCells<'a>> {
        self.table.memory().1.element(index, CHUNK_CELLS)
    }

    fn heartbeat(&self) -> u64 {
        NOW
    }

    fn sheds(&self) -> bool {
        false
    }
}

/// The options of a renewal that says `text` as its host name.
fn renewing_options(text: &str) -> Vec<u8> {
    let mut options = vec![53, 1, 3, 12, u8::try_from(text.len()).unwrap()];
    options.extend_from_slice(text.as_bytes());
    options.extend_from_slice(&[55, 3, 1, 3, 6, 255]);
    options
}

/// A renewal (or, without ciaddr, an INIT-REBOOT) as a frame.
fn request(ciaddr: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14 + 28 + bootp::FIXED];
    let (ip_dst, eth_dst) =
        if ciaddr.is_unspecified() { (Ipv4Addr::BROADCAST, [0xff; 6]) } else { (SERVER, OURS) };
    frame[..6].copy_from_slice(&eth_dst);
    frame[6..12].copy_from_slice(&CLIENT);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame.extend_from_slice(options);
    frame.resize(frame.len().max(14 + 28 + bootp::MINIMUM), 0);
    let total = u16::try_from(frame.len() - 14).unwrap();
    let ip = &mut frame[14..];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&ciaddr.octets());
    ip[16..20].copy_from_slice(&ip_dst.octets());
    let sum = ip[..20].chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    ip[21] = 68;
    ip[23] = 67;
    ip[24..26].copy_from_slice(&(total - 20).to_be_bytes());
    ip[28..31].copy_from_slice(&[1, 1, 6]);
    ip[32..36].copy_from_slice(&[1, 2, 3, 4]);
    ip[40..44].copy_from_slice(&ciaddr.octets());
    ip[56..62].copy_from_slice(&CLIENT);
    ip[264..268].copy_from_slice(&[99, 130, 83, 99]);
    frame
}

/// An answer whose options are `len` octets long, all told.
fn answer(len: usize) -> Answer {
    let mut options = vec![53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0x0e, 0x10];
    while options.len() + 1 < len {
        let rest = (len - options.len() - 1).min(200);
        if rest < 3 {
            options.extend(vec![0; rest]);
            continue;
        }
        options.extend_from_slice(&[224, u8::try_from(rest - 2).unwrap()]);
        options.extend((0..rest - 2).map(|i| u8::try_from(i).unwrap()));
    }
    options.push(255);
    let echoes_at = options.len() - 1;
    Answer {
        lease_time: LEASE_TIME,
        siaddr: SERVER,
        sname: None,
        file: None,
        options,
        echoes_at,
        complete: true,
    }
}

fn memo(ciaddr: Ipv4Addr, options: &[u8], answer: Answer) -> Memo {
    let giaddr = Ipv4Addr::UNSPECIFIED;
    Memo {
        question: Question { ciaddr, giaddr, relay_src: giaddr, options: options.to_vec() },
        answer,
        to: Destination::Any,
        ground: Ground::Asked,
    }
}

fn publication(word: Word, memos: Vec<Memo>) -> Publication {
    let granted = BootSecs::floor(NOW).plus(LEASE_TIME);
    Publication {
        address: ADDRESS,
        link: LINK,
        chaddr: CLIENT,
        server: SERVER,
        generation: word.generation(),
        expiry: granted,
        horizon: granted.plus(LEASE_TIME),
        basis: Basis(1),
        memos,
    }
}

/// The frame that the daemon itself would send.
fn by_the_daemon(request: &[u8], answer: Answer) -> Vec<u8> {
    let request = Request::read(Bytes::copy_from_slice(request), LINK.ifindex, BootSecs::floor(NOW)).unwrap();
    let reply = Reply::Ack { yiaddr: ADDRESS, server: SERVER, answer };
    frame::write(&request, &reply, OURS).unwrap().to_vec()
}

#[test]
fn the_kernel_says_what_the_daemon_would_have_said_whatever_the_answers_length() {
    for len in (20..=740).step_by(12) {
        let mut world = World::new();
        let options = renewing_options("host");
        let lease = publication(world.word(), vec![memo(ADDRESS, &options, answer(len))]);
        assert_eq!(world.table.publish(&lease).unwrap().without_room, 0, "{len}");
        let sent = request(ADDRESS, &options);
        let (verdict, frame) = world.kernel(&sent);
        assert_eq!(verdict, Verdict::Reply(Renewal::Renewing), "{len}");
        assert_eq!(frame, by_the_daemon(&sent, answer(len)), "{len}");
    }
}

#[test]
fn an_init_reboot_is_found_by_its_question_and_lost_with_the_lease() {
    let mut world = World::new();
    let options = [53, 1, 3, 50, 4, 10, 0, 0, 10, 255];
    let lease = publication(world.word(), vec![memo(Ipv4Addr::UNSPECIFIED, &options, answer(64))]);
    world.table.publish(&lease).unwrap();
    let sent = request(Ipv4Addr::UNSPECIFIED, &options);
    assert_eq!(world.kernel(&sent).0, Verdict::Reply(Renewal::InitReboot));

    world.table.revoke(ADDRESS, world.word()).unwrap();
    assert_eq!(world.kernel(&sent).0, Verdict::Up(Why::NotAlive));
    world.table.tidy();
    assert_eq!(world.kernel(&sent).0, Verdict::Up(Why::Request), "the hint is gone too");
}

#[test]
fn what_was_decided_before_a_revocation_is_not_published() {
    let mut world = World::new();
    let options = renewing_options("host");
    let lease = publication(world.word(), vec![memo(ADDRESS, &options, answer(64))]);
    world.table.revoke(ADDRESS, world.word()).unwrap();
    assert_eq!(world.table.publish(&lease), Err(Overtaken));
    assert!(!world.word().alive());
}

#[test]
fn the_oldest_question_makes_room_and_its_answer_is_freed() {
    let mut world = World::new();
    // Each answer needs chunks of its own: three of the eight there are.
    let questions: Vec<Vec<u8>> = (0..20).map(|i| renewing_options(&format!("host-{i}"))).collect();
    for (i, options) in questions.iter().enumerate() {
        let mut said = answer(300);
        said.options[15] = 200 + u8::try_from(i).unwrap();
        let lease = publication(world.word(), vec![memo(ADDRESS, options, said)]);
        world.table.publish(&lease).unwrap();
        let known = questions
            .iter()
            .filter(|options| matches!(world.kernel(&request(ADDRESS, options)).0, Verdict::Reply(_)));
        assert!((1..=MEMOS).contains(&known.count()), "after question {i}");
    }
}

#[test]
fn what_was_asked_is_not_forgotten_for_what_is_only_expected() {
    let mut world = World::new();
    let options = |name: &str, number: usize| renewing_options(&format!("{name}-{number}"));
    let question = |name: &str, number: usize, ground| Memo {
        ground,
        ..memo(ADDRESS, &options(name, number), answer(64))
    };
    let known = |world: &World, name: &str| -> Vec<usize> {
        let is_known = |number: &usize| {
            matches!(world.kernel(&request(ADDRESS, &options(name, *number))).0, Verdict::Reply(_))
        };
        (0..2 * MEMOS).filter(is_known).collect()
    };
    let publish = |world: &mut World, memos| {
        let lease = publication(world.word(), memos);
        assert_eq!(world.table.publish(&lease).unwrap().without_room, 0);
    };
    let expected = (0..MEMOS).map(|number| question("expected", number, Ground::Expected)).collect();
    publish(&mut world, expected);
    assert_eq!(known(&world, "expected").len(), MEMOS);

    publish(&mut world, vec![question("asked", 0, Ground::Asked)]);
    publish(&mut world, vec![question("expected", 0, Ground::Asked)]);
    publish(&mut world, vec![question("asked", 1, Ground::Asked)]);
    assert_eq!((known(&world, "asked"), known(&world, "expected")), (vec![0, 1], vec![0, 1, 2]));

    // One was expected, and is asked by now: it stays as long as others are only expected.
    for number in 2..MEMOS - 1 {
        publish(&mut world, vec![question("asked", number, Ground::Asked)]);
    }
    assert_eq!(known(&world, "asked"), (0..MEMOS - 1).collect::<Vec<_>>());
    assert_eq!(known(&world, "expected"), [0]);
    publish(&mut world, vec![question("expected", MEMOS, Ground::Expected)]);
    assert_eq!(known(&world, "asked"), (0..MEMOS - 1).collect::<Vec<_>>());
    assert_eq!(known(&world, "expected"), [0], "there is no room for guesses");
}

#[test]
fn a_changed_answer_replaces_the_old_one() {
    let mut world = World::new();
    let options = renewing_options("host");
    for len in [64, 200, 64, 400] {
        let lease = publication(world.word(), vec![memo(ADDRESS, &options, answer(len))]);
        world.table.publish(&lease).unwrap();
        let sent = request(ADDRESS, &options);
        assert_eq!(world.kernel(&sent).1, by_the_daemon(&sent, answer(len)));
    }
}

#[test]
fn answers_alike_of_one_lease_lie_in_one_place() {
    let mut world = World::new();
    let memos = (0..MEMOS).map(|i| memo(ADDRESS, &renewing_options(&format!("{i}")), answer(300))).collect();
    // Three chunks each, and eight in all: five of their own would have no room.
    let published = world.table.publish(&publication(world.word(), memos)).unwrap();
    assert_eq!(published.without_room, 0);
}

#[test]
fn a_client_on_another_link_keeps_its_lease_and_only_the_new_link_is_answered() {
    let mut world = World::new();
    let options = renewing_options("host");
    let memos = vec![memo(ADDRESS, &options, answer(64))];
    let moved = Publication { link: Link { outer: 5, ..LINK }, ..publication(world.word(), memos.clone()) };
    world.table.publish(&moved).unwrap();
    let generation = world.word().generation();
    assert!(!matches!(world.kernel(&request(ADDRESS, &options)).0, Verdict::Reply(_)));
    world.table.publish(&publication(world.word(), memos)).unwrap();
    assert_eq!(world.kernel(&request(ADDRESS, &options)).0, Verdict::Reply(Renewal::Renewing));
    assert_eq!(world.word().generation(), generation, "it is the same lease");
}

#[test]
fn the_kernels_renewals_are_told_once() {
    let mut world = World::new();
    let options = renewing_options("host");
    let mut lease = publication(world.word(), vec![memo(ADDRESS, &options, answer(64))]);
    lease.expiry = BootSecs::floor(NOW).plus(10);
    world.table.publish(&lease).unwrap();
    assert_eq!(world.table.extended(0, world.table.in_use()), []);

    assert!(matches!(world.kernel(&request(ADDRESS, &options)).0, Verdict::Reply(_)));
    assert_eq!(world.table.unreported(ADDRESS), 1);
    let told = world.table.extended(0, world.table.in_use());
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].address, told[0].unreported.renewals), (ADDRESS, 1));
    assert_eq!(told[0].word.expiry(), BootSecs::ceil(NOW + CLOCK_LAG).plus(LEASE_TIME));
    assert_eq!(world.table.extended(0, world.table.in_use()), []);
}

#[test]
fn forgotten_answers_are_asked_for_anew_and_the_lease_goes_on() {
    let mut world = World::new();
    let options = renewing_options("host");
    world.table.publish(&publication(world.word(), vec![memo(ADDRESS, &options, answer(300))])).unwrap();
    let before = world.word();
    world.table.forget_answers(ADDRESS);
    assert_eq!(world.kernel(&request(ADDRESS, &options)).0, Verdict::Up(Why::UnknownQuestion));
    assert!(world.word().alive());
    assert_eq!(world.word().expiry(), before.expiry());
}

#[test]
fn what_rests_on_another_basis_is_void_with_the_first_answer_that_does_not() {
    let mut world = World::new();
    let [before, after] = ["before", "after"].map(renewing_options);
    let lease = publication(world.word(), vec![memo(ADDRESS, &before, answer(64))]);
    world.table.publish(&lease).unwrap();
    world.table.rest_on(ADDRESS, lease.basis);
    assert_eq!(world.table.live(ADDRESS), Some((LINK, lease.basis)));
    assert_eq!(world.kernel(&request(ADDRESS, &before)).0, Verdict::Reply(Renewal::Renewing));

    let memos = vec![memo(ADDRESS, &after, answer(64))];
    world.table.publish(&Publication { basis: Basis(2), memos, ..lease.clone() }).unwrap();
    assert_eq!(world.kernel(&request(ADDRESS, &before)).0, Verdict::Up(Why::UnknownQuestion));
    assert_eq!(world.kernel(&request(ADDRESS, &after)).0, Verdict::Reply(Renewal::Renewing));

    world.table.rest_on(ADDRESS, Basis(3));
    assert_eq!(world.kernel(&request(ADDRESS, &after)).0, Verdict::Up(Why::UnknownQuestion));
    let (_, slot) = world.table.slot(ADDRESS).unwrap();
    assert_eq!((Basis(slot.basis()), slot.horizon()), (Basis(3), lease.horizon));
    world.table.move_horizon(ADDRESS, lease.generation, lease.horizon.plus(5));
    assert_eq!(world.table.live(ADDRESS), Some((LINK, Basis(3))));
}

#[test]
fn the_horizon_never_goes_back_while_a_lease_lives() {
    let mut world = World::new();
    let options = renewing_options("host");
    let lease = publication(world.word(), vec![memo(ADDRESS, &options, answer(64))]);
    world.table.publish(&lease).unwrap();
    world.table.move_horizon(ADDRESS, lease.generation, BootSecs(1));
    assert_eq!(world.table.slot(ADDRESS).unwrap().1.horizon(), lease.horizon);
    world.table.move_horizon(ADDRESS, lease.generation, lease.horizon.plus(5));
    assert_eq!(world.table.slot(ADDRESS).unwrap().1.horizon(), lease.horizon.plus(5));
    world.table.move_horizon(ADDRESS, lease.generation + 1, lease.horizon.plus(50));
    assert_eq!(world.table.slot(ADDRESS).unwrap().1.horizon(), lease.horizon.plus(5), "another generation's");
}

#[test]
fn a_table_without_room_says_so() {
    let mut world = World::new();
    world.table.reserve(Ipv4Addr::new(10, 0, 1, 0)).unwrap();
    let error = world.table.reserve(Ipv4Addr::new(10, 0, 2, 0)).unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
}

/// RFC 6842 §3, RFC 3046 §2.2: what clients and relays say of themselves comes back. It is no part of what is kept.
#[test]
fn leases_share_an_answer_whatever_their_clients_say_of_themselves() {
    let mut world = World::new();
    let options = |id: u8| {
        [&[53, 1, 3, 61, 8, 255, 9][..], &[id; 6], &[55, 2, 1, 3, 82, 6, 1, 4], &[id; 4], &[255]].concat()
    };
    let said = |id: u8| {
        let head = answer(500);
        let echoes_at = head.echoes_at;
        let echoes = [&[61, 8, 255, 9][..], &[id; 6], &[82, 6, 1, 4], &[id; 4], &[255]].concat();
        Answer { options: [&head.options[..echoes_at], &echoes].concat(), ..head }
    };
    // Five chunks of the eight there are: one answer has room, two have not.
    let address = |id: u8| Ipv4Addr::new(10, 0, 0, 10 + id);
    for id in 0..8 {
        let memos = vec![memo(address(id), &options(id), said(id))];
        let lease = Publication { address: address(id), ..publication(world.word(), memos) };
        assert_eq!(world.table.publish(&lease).unwrap().without_room, 0, "client {id}");
    }
    for id in 0..8 {
        let sent = request(address(id), &options(id));
        let (verdict, frame) = world.kernel(&sent);
        assert_eq!(verdict, Verdict::Reply(Renewal::Renewing));
        let reply = Reply::Ack { yiaddr: address(id), server: SERVER, answer: said(id) };
        let asked = Request::read(Bytes::copy_from_slice(&sent), LINK.ifindex, BootSecs::floor(NOW)).unwrap();
        assert_eq!(frame, frame::write(&asked, &reply, OURS).unwrap().to_vec());
    }
}

#[test]
fn leases_answered_alike_share_the_answer_and_each_keeps_it_to_its_end() {
    let mut world = World::new();
    let options = renewing_options("host");
    let neighbour = Ipv4Addr::new(10, 0, 0, 11);
    // Six chunks of the eight there are: the one answer has room, two have not.
    let said = answer(700);
    let lease = publication(world.word(), vec![memo(ADDRESS, &options, said.clone())]);
    assert_eq!(world.table.publish(&lease).unwrap().without_room, 0);
    let next =
        Publication { address: neighbour, memos: vec![memo(neighbour, &options, said.clone())], ..lease };
    assert_eq!(world.table.publish(&next).unwrap().without_room, 0);

    world.table.revoke(ADDRESS, world.word()).unwrap();
    world.table.tidy();
    let sent = request(neighbour, &options);
    let reply = Reply::Ack { yiaddr: neighbour, server: SERVER, answer: said };
    let asked = Request::read(Bytes::copy_from_slice(&sent), LINK.ifindex, BootSecs::floor(NOW)).unwrap();
    assert_eq!(world.kernel(&sent).1, frame::write(&asked, &reply, OURS).unwrap().to_vec());

    let other = publication(world.word(), vec![memo(ADDRESS, &options, answer(696))]);
    assert_eq!(world.table.publish(&other).unwrap().without_room, 1, "the neighbour's answer is in the way");
    world.table.forget_answers(neighbour);
    assert_eq!(world.table.publish(&other).unwrap().without_room, 0);
}
