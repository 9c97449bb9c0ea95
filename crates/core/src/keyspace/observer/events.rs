//! From the changes of a command to the events that Redis publishes, in its order.

use std::collections::BTreeMap;

use super::naming::Form;
use super::{Change, EventClasses, Fate, Group};

/// Something that has happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its class.
    pub class: EventClasses,
    /// Its name.
    pub name: &'static str,
    /// The key's database.
    pub db: u8,
    /// The key.
    pub key: &'a [u8],
}

type Named = (EventClasses, &'static str);

const DEL: Named = (EventClasses::GENERIC, "del");
const NEW: Named = (EventClasses::NEW, "new");

impl Group {
    /// Shows all events, in order.
    pub fn for_each_event<'a>(&'a self, visit: &mut dyn FnMut(Event<'a>)) {
        let mut merged = self.merged();
        let mut tell = |change: &Merged<'a>, (class, name): Named| {
            visit(Event {
                class,
                name,
                db: change.of.db,
                key: &change.of.key,
            });
        };
        match &self.naming.form {
            Form::Transferred {
                from,
                is_given_first: true,
                ..
            } => merged.sort_by_key(|change| change.of.key == from),
            // What is written is written before it is told what it was.
            Form::Renamed { .. } | Form::Moved => {
                merged.sort_by_key(|change| change.fate == Fate::There);
                let written = merged.iter().filter(|change| change.fate == Fate::There);
                written.for_each(|change| tell(change, NEW));
            }
            _ => {}
        }
        for change in &merged {
            match change.fate {
                Fate::Expired => tell(change, (EventClasses::EXPIRED, "expired")),
                Fate::Evicted => tell(change, (EventClasses::EVICTED, "evicted")),
                Fate::Also(class, name) => tell(change, (class, name)),
                Fate::Missed => tell(change, (EventClasses::MISSED, "keymiss")),
                Fate::There | Fate::Gone => {
                    self.tell_change(change, merged.len(), &mut |named| tell(change, named));
                }
            }
        }
    }

    fn tell_change(&self, change: &Merged<'_>, count: usize, tell: &mut dyn FnMut(Named)) {
        let (named, is_there) = ((self.naming.class, self.naming.name), change.fate == Fate::There);
        let is_new = is_there && !change.of.was_there;
        match &self.naming.form {
            Form::Silent => {}
            Form::Written { expires } if is_there => {
                is_new.then(|| tell(NEW));
                tell(named);
                expires.then(|| tell((EventClasses::GENERIC, "expire")));
            }
            Form::Copied => {
                tell(NEW);
                tell(named);
            }
            Form::Each if is_there => {
                is_new.then(|| tell(NEW));
                tell(named);
            }
            Form::Written { .. } | Form::Each => tell(DEL),
            Form::Renamed { .. } if is_there => tell((EventClasses::GENERIC, "rename_to")),
            Form::Moved if is_there => tell((EventClasses::GENERIC, "move_to")),
            Form::Renamed { .. } | Form::Moved => tell(named),
            Form::Transferred { from, given, .. } if change.of.key != from => {
                is_new.then(|| tell(NEW));
                tell((self.naming.class, given));
            }
            Form::Transferred {
                given,
                is_given_first,
                ..
            } if *is_given_first && count == 1 && is_there => {
                // From one end of a list to the other.
                tell((self.naming.class, given));
                tell(named);
            }
            Form::Taken | Form::Transferred { .. } => {
                tell(named);
                (!is_there).then(|| tell(DEL));
            }
        }
    }

    /// Each key once, with what has become of it in the end.
    fn merged(&self) -> Vec<Merged<'_>> {
        let mut merged: Vec<Merged<'_>> = Vec::with_capacity(self.changes.len());
        let mut places = BTreeMap::new();
        for of in &self.changes {
            if matches!(of.fate, Fate::There | Fate::Gone) && self.naming.form != Form::Each {
                let place = *places.entry((of.db, &of.key)).or_insert(merged.len());
                if let Some(known) = merged.get_mut(place) {
                    known.fate = of.fate;
                    continue;
                }
            }
            merged.push(Merged { of, fate: of.fate });
        }
        merged.retain(|change| change.of.was_there || change.fate != Fate::Gone);
        merged
    }
}

struct Merged<'a> {
    /// The first change of the key.
    of: &'a Change,
    fate: Fate,
}
