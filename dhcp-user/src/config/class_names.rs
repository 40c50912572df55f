//! The names of the classes, which pools and reservations refer to, and sets of classes.

use super::errors::Span;
use super::section::nearest;
use super::value::Value;

/// Some of the classes of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassSet(u128);

impl ClassSet {
    /// How many classes there can be.
    pub const MOST: usize = 128;

    /// Adds the class with this place in the configuration, from 0, which must be below [`Self::MOST`].
    pub fn insert(&mut self, place: usize) {
        self.0 |= 1 << place;
    }

    /// Whether no class is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The classes of either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The classes that are in both.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether any class is in both.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The places of its classes in the configuration, last first.
    pub fn last_first(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let place = rest.checked_ilog2()?;
            rest ^= 1 << place;
            Some(place as usize)
        })
    }
}

/// The names of the classes, in the order of the file.
#[derive(Default)]
pub(super) struct ClassNames {
    names: Vec<String>,
    /// Where each is named.
    places: Vec<Span>,
    /// Whether any of them asks whether a client has a reservation.
    pub(super) asks_known: bool,
}

impl ClassNames {
    /// The classes that `value` names: one, or a list.
    pub(super) fn set(&self, value: Value<'_>) -> Option<ClassSet> {
        let names = if value.is_list() { value.each("class names", Some)? } else { vec![value] };
        if names.is_empty() {
            return value.refuse("name at least one class, or remove the key");
        }
        let places: Vec<Option<usize>> = names.into_iter().map(|name| self.place(name)).collect();
        let mut set = ClassSet::default();
        for place in places {
            set.insert(place?);
        }
        Some(set)
    }

    fn place(&self, value: Value<'_>) -> Option<usize> {
        value.read("the name of a class", |name| self.named(name))
    }

    /// The place of the class of this name.
    pub(super) fn named(&self, name: &str) -> Result<usize, String> {
        if let Some(place) = self.names.iter().position(|known| known == name) {
            return Ok(place);
        }
        let names = || self.names.iter().map(String::as_str);
        let advice = match nearest(name, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if self.names.is_empty() => "add a [[class]] of that name".to_owned(),
            None => format!("known are {}", self.names.join(", ")),
        };
        Err(format!("no [[class]] is named \"{}\": {advice}", name.escape_default()))
    }

    pub(super) fn claim(&mut self, value: Value<'_>) -> Option<String> {
        let name = value.text("a name")?;
        if name.is_empty() || name.contains(char::is_control) {
            return value.refuse("the name must not be empty, and not contain control characters");
        }
        if let Some(place) = self.names.iter().position(|known| known == name) {
            let earlier = self.places.get(place).map(|at| value.where_is(at)).unwrap_or_default();
            return value.refuse(format!(
                "there is a class \"{name}\" already, on {earlier}: give each its own name"
            ));
        }
        if self.names.len() == ClassSet::MOST {
            return value.refuse(format!("there can be {} classes and no more", ClassSet::MOST));
        }
        self.names.push(name.to_owned());
        self.places.push(value.span());
        Some(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_go_through_their_classes_from_the_last_to_the_first() {
        let mut set = ClassSet::default();
        assert!(set.is_empty());
        [0, 5, 127].into_iter().for_each(|place| set.insert(place));
        assert_eq!(set.last_first().collect::<Vec<_>>(), [127, 5, 0]);
        let mut other = ClassSet::default();
        other.insert(6);
        assert!(!set.meets(other));
        other.insert(127);
        assert!(set.meets(other));
    }
}
