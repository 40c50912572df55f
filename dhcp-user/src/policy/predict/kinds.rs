//! Kinds of clients, and how their renewals and reboots differ from the requests that got them their leases.
//!
//! The members of a kind take an offer by the same options in the same order, with the same vendor class (60) and
//! parameter list (55). One member, the exemplar, is watched. When it goes on with its lease in an unexpected way,
//! the difference from its first messages is recorded as a recipe, and expected of others of the kind. A recipe that
//! fails twice is not steady (the option counts, or is random), and is no longer expected. Nothing is kept of other
//! clients.

use std::net::Ipv4Addr;

use ahash::HashMap;
use dhcp_ebpf::lease::BootSecs;

use super::areas::{Areas, Going, Selected, after_discover};
use super::recipe::Recipe;
use crate::message::Request;
use crate::message::options::{Piece, code, pieces};
use crate::policy::book::identity::Keyed;

/// At most twice as many kinds are known; those that were met last, at least so many.
const KINDS: usize = 512;
/// So often something else may come than was learnt before.
const TRIES: u8 = 2;

/// A client and the address that it has.
pub(super) type Lessee = ([u8; 6], Ipv4Addr);

/// All kinds that were met lately.
#[derive(Debug)]
pub(super) struct Kinds {
    keyed: Keyed,
    young: HashMap<u64, Kind>,
    old: HashMap<u64, Kind>,
    /// The kinds whose exemplars these are.
    exemplars: HashMap<[u8; 6], u64>,
}

#[derive(Debug, Default)]
struct Kind {
    exemplar: Option<Exemplar>,
    renewal: Learnt,
    reboot: Learnt,
}

/// The client by which a kind is learnt.
#[derive(Debug)]
struct Exemplar {
    mac: [u8; 6],
    address: Ipv4Addr,
    select: Box<[u8]>,
    discover: Option<Box<[u8]>>,
    /// When its lease ends, as far as is known here: then another may take its place.
    until: BootSecs,
}

/// The recipe of one of the ways to go on, as far as learnt.
#[derive(Debug, Default)]
enum Learnt {
    /// It was as expected, or not seen.
    #[default]
    Nothing,
    /// Like this, after so many that came out otherwise.
    Like(Recipe, u8),
    /// It is another each time.
    Unsteady,
}

impl Learnt {
    fn correct(&mut self, recipe: Option<Recipe>) {
        let Some(recipe) = recipe else { return };
        *self = match std::mem::take(self) {
            Self::Nothing => Self::Like(recipe, 0),
            Self::Like(known, tries) if known == recipe => Self::Like(known, tries),
            Self::Like(_, tries) if tries + 1 < TRIES => Self::Like(recipe, tries + 1),
            Self::Like(..) | Self::Unsteady => Self::Unsteady,
        };
    }

    fn follow(&self, selected: &Selected<'_>) -> Option<Vec<u8>> {
        if let Self::Like(recipe, _) = self { recipe.follow(selected) } else { None }
    }
}

impl Exemplar {
    fn selected(&self) -> Selected<'_> {
        Selected { select: &self.select, discover: self.discover.as_deref(), address: self.address }
    }
}

impl Kinds {
    /// With a key that keeps clients from choosing kinds that are taken for one another.
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { keyed, young: HashMap::default(), old: HashMap::default(), exemplars: HashMap::default() }
    }

    /// A client (`mac`) takes an offer by `request`, and has the address until `until`. Gives how it will go on, as far as
    /// its kind does so otherwise than all do.
    pub(super) fn met(
        &mut self,
        mac: [u8; 6],
        request: &Request,
        selected: &Selected<'_>,
        now: BootSecs,
        until: BootSecs,
    ) -> Areas {
        let key = self.key(request, selected.select);
        self.revive(key);
        let kind = self.young.entry(key).or_default();
        let learnt = Areas { renewal: kind.renewal.follow(selected), reboot: kind.reboot.follow(selected) };
        let vacant = |exemplar: &Exemplar| exemplar.mac == mac || exemplar.until < now;
        if kind.exemplar.as_ref().is_none_or(vacant) {
            let exemplar = Exemplar {
                mac,
                address: selected.address,
                select: selected.select.into(),
                discover: selected.discover.map(Box::from),
                until,
            };
            if let Some(former) = kind.exemplar.replace(exemplar) {
                self.exemplars.remove(&former.mac);
            }
            self.exemplars.insert(mac, key);
        }
        learnt
    }

    /// A client that has `address` until `until` goes on with it by `asked`, which the kernel did not answer.
    pub(super) fn heard(&mut self, (mac, address): Lessee, going: Going, asked: &[u8], until: BootSecs) {
        let Some(key) = self.exemplars.get(&mac) else { return };
        let Some(kind) = self.young.get_mut(key).or_else(|| self.old.get_mut(key)) else { return };
        let exemplar =
            kind.exemplar.as_mut().filter(|exemplar| (exemplar.mac, exemplar.address) == (mac, address));
        let Some(exemplar) = exemplar else { return };
        exemplar.until = until;
        let selected = exemplar.selected();
        let expected = [Areas::of(&exemplar.select, address), after_discover(&selected)];
        let kept = going == Going::Renewal && asked == selected.select;
        if kept || expected.iter().any(|areas| areas.get(going) == Some(asked)) {
            return;
        }
        let recipe = Recipe::of(asked, &selected, mac);
        match going {
            Going::Renewal => kind.renewal.correct(recipe),
            Going::Reboot => kind.reboot.correct(recipe),
        }
    }

    fn key(&self, request: &Request, select: &[u8]) -> u64 {
        let mut codes = [0_u8; 64];
        let all = pieces(select).filter_map(|piece| match piece {
            Piece::Option(code, _) => Some(code),
            Piece::Pad => None,
        });
        codes.iter_mut().zip(all).for_each(|(to, code)| *to = code);
        let class = request.options.get(code::VENDOR_CLASS);
        self.keyed.hash(&(codes, class, &request.options.parameters))
    }

    /// Counts the kind among those that were met last; when they are too many, those that were not met since are forgotten.
    fn revive(&mut self, key: u64) {
        if self.young.contains_key(&key) {
            return;
        }
        let known = self.old.remove(&key).unwrap_or_default();
        if self.young.len() >= KINDS {
            self.old = std::mem::take(&mut self.young);
            let lives = |key: &u64| self.old.contains_key(key);
            self.exemplars.retain(|_, kind| *kind == key || lives(kind));
        }
        self.young.insert(key, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::wire::{Draft, SERVER};

    const NOW: BootSecs = BootSecs(100);
    const UNTIL: BootSecs = BootSecs(200);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    fn meet(kinds: &mut Kinds, client: u8, class: &[u8], now: BootSecs) -> Areas {
        let draft = Draft::select(client, SERVER, ADDRESS).option(60, class);
        let request = draft.request(1);
        let selected = Selected { select: &draft.area(), discover: None, address: ADDRESS };
        kinds.met(draft.mac, &request, &selected, now, UNTIL)
    }

    fn renews(kinds: &mut Kinds, client: u8, draft: Draft) {
        kinds.heard((Draft::discover(client).mac, ADDRESS), Going::Renewal, &draft.area(), UNTIL);
    }

    #[test]
    fn a_kind_is_learnt_by_its_first_member() {
        let mut kinds = Kinds::new(Keyed::new(1));
        let odd = |client| Draft::renew(client, ADDRESS).option(60, b"a").option(51, &[0, 0, 0, 7]);
        assert_eq!(meet(&mut kinds, 1, b"a", NOW), Areas::default());
        renews(&mut kinds, 1, odd(1));
        assert_eq!(meet(&mut kinds, 2, b"a", NOW).renewal, Some(odd(2).area()));
        assert_eq!(meet(&mut kinds, 3, b"b", NOW), Areas::default(), "another kind");
        renews(&mut kinds, 2, Draft::renew(2, ADDRESS));
        assert_eq!(meet(&mut kinds, 4, b"a", NOW).renewal, Some(odd(4).area()), "the first is the exemplar");
    }

    #[test]
    fn what_is_as_expected_teaches_nothing() {
        let mut kinds = Kinds::new(Keyed::new(1));
        meet(&mut kinds, 1, b"a", NOW);
        renews(&mut kinds, 1, Draft::renew(1, ADDRESS).option(60, b"a"));
        renews(&mut kinds, 1, Draft::select(1, SERVER, ADDRESS).option(60, b"a"));
        assert_eq!(meet(&mut kinds, 2, b"a", NOW), Areas::default());
    }

    #[test]
    fn what_is_another_each_time_is_not_learnt() {
        let mut kinds = Kinds::new(Keyed::new(1));
        meet(&mut kinds, 1, b"a", NOW);
        for count in 0..=TRIES {
            renews(&mut kinds, 1, Draft::renew(1, ADDRESS).option(51, &[0, 0, 0, count]));
        }
        for client in 2..5 {
            assert_eq!(meet(&mut kinds, client, b"a", NOW), Areas::default());
        }
    }

    #[test]
    fn who_has_gone_is_no_exemplar_any_more() {
        let mut kinds = Kinds::new(Keyed::new(1));
        meet(&mut kinds, 1, b"a", NOW);
        meet(&mut kinds, 2, b"a", UNTIL.plus(1));
        renews(&mut kinds, 1, Draft::renew(1, ADDRESS).option(12, b"x"));
        assert_eq!(meet(&mut kinds, 3, b"a", NOW), Areas::default());
        renews(&mut kinds, 2, Draft::renew(2, ADDRESS).option(12, b"x"));
        assert!(meet(&mut kinds, 3, b"a", NOW).renewal.is_some());
    }

    #[test]
    fn however_many_kinds_come_the_last_are_known() {
        let mut kinds = Kinds::new(Keyed::new(1));
        for number in 0..4 * KINDS {
            let class = number.to_be_bytes();
            meet(&mut kinds, u8::try_from(number % 200).expect("small"), &class, NOW);
            meet(&mut kinds, 250, b"again and again", NOW);
        }
        let known = kinds.young.len() + kinds.old.len();
        assert!((KINDS..=2 * KINDS).contains(&known), "{known}");
        assert!(kinds.exemplars.len() <= 2 * KINDS);
        renews(&mut kinds, 250, Draft::renew(250, ADDRESS));
        assert!(meet(&mut kinds, 251, b"again and again", NOW).renewal.is_some());
    }
}
