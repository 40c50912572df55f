//! How full the classes are that limit the leases of their clients.

use crate::config::ClassSet;
use crate::policy::Policy;

/// A class with `max-leases`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassView {
    /// Its name.
    pub name: String,
    /// How many leases its clients hold, offers included.
    pub held: u32,
    /// How many they may hold.
    pub most: u32,
}

impl Policy {
    /// The classes with a limit, in the order of the configuration.
    pub fn limited_classes(&self) -> impl Iterator<Item = ClassView> + '_ {
        (0..ClassSet::MOST).filter_map(|place| {
            let (name, most) = self.site.classes.limit(place)?;
            Some(ClassView { name: name.to_owned(), held: self.book.held_of_class(place), most })
        })
    }
}
