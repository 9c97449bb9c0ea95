//! What a search is asked for: where, how far, in which order, what of it is told, and where it is stored.
//!
//! What a search is around may be a member, so it is read with the sorted set at hand; then an error comes in the
//! order in which Redis says it.

use repligo_proto::words;

use super::areas::can_be_stored;
use super::cells::Cell;
use super::distance::{Extent, Place, Shape};
use crate::collection::SortedSetRef;
use crate::command::{Arguments, CommandError};
use crate::keyspace::sorted_set::number;

/// How a command says what it is around and how far it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// A place and a radius, before all options.
    Place,
    /// A member and a radius, before all options.
    Member,
    /// By options.
    Options,
}

/// A command of the family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub given: Given,
    /// STORE and STOREDIST name a key.
    pub may_store: bool,
    /// The first argument is a destination.
    pub stores: bool,
}

/// In which order the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// What is asked for. Where there is no sorted set, nothing but [`Request::store`] is looked at.
#[derive(Debug)]
pub(super) struct Request {
    pub shape: Shape,
    pub with_distance: bool,
    pub with_score: bool,
    pub with_place: bool,
    pub order: Option<Order>,
    /// Most that are told.
    pub count: Option<usize>,
    /// The first that are found will do.
    pub takes_any: bool,
    pub store: Option<Box<[u8]>>,
    /// Distances are stored, not scores.
    pub stores_distance: bool,
    has_center: Option<Given>,
    has_extent: bool,
}

fn refused<T>(text: &'static str) -> Result<T, CommandError> {
    Err(CommandError::fixed(text))
}

fn number_or(text: &[u8], error: &'static str) -> Result<f64, CommandError> {
    number::score(text).map_err(|_| CommandError::fixed(error))
}

/// Metres of a unit.
pub(super) fn take_unit(arguments: &mut Arguments<'_>) -> Result<f64, CommandError> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let given = arguments.take();
    let unit = UNITS
        .iter()
        .find(|(name, _)| given.eq_ignore_ascii_case(name.as_bytes()));
    unit.map(|(_, metres)| *metres)
        .ok_or(CommandError::fixed(words::geo::UNKNOWN_UNIT))
}

/// Longitude and latitude.
pub(super) fn take_place(arguments: &mut Arguments<'_>) -> Result<Place, CommandError> {
    let place = Place {
        longitude: number::score(arguments.take())?,
        latitude: number::score(arguments.take())?,
    };
    if !can_be_stored(place) {
        let text = words::geo::no_place(place.longitude, place.latitude);
        return Err(CommandError::composed(text.into_bytes()));
    }
    Ok(place)
}

impl Request {
    /// Reads all arguments of a command. What a peer has sent may be too short.
    pub fn parse(
        form: Form,
        mut arguments: Arguments<'_>,
        set: Option<SortedSetRef<'_>>,
    ) -> Result<Self, CommandError> {
        let mut request = Self {
            shape: Shape {
                center: Place {
                    longitude: 0.0,
                    latitude: 0.0,
                },
                extent: Extent::Circle { radius: 0.0 },
                unit_m: 1.0,
            },
            with_distance: false,
            with_score: false,
            with_place: false,
            order: None,
            count: None,
            takes_any: false,
            store: None,
            stores_distance: false,
            has_center: None,
            has_extent: false,
        };
        if form.stores {
            request.store = Some(arguments.take().into());
        }
        arguments.skip(1);
        match form.given {
            Given::Place => {
                request.shape.center = take_place(&mut arguments)?;
                request.take_radius(&mut arguments)?;
            }
            // As in Redis: without the sorted set nobody looks at these.
            Given::Member if set.is_none() => arguments.skip(3),
            Given::Member => {
                request.take_member(&mut arguments, set)?;
                request.take_radius(&mut arguments)?;
            }
            Given::Options => {}
        }
        while !arguments.is_empty() {
            let is_taken = request.take_flag(&mut arguments)
                || request.take_limit(&mut arguments)?
                || request.take_store(form, &mut arguments)
                || form.given == Given::Options && request.take_shape(&mut arguments, set)?;
            if !is_taken {
                return refused(words::SYNTAX);
            }
        }
        request.judge(form)?;
        Ok(request)
    }

    fn take_flag(&mut self, arguments: &mut Arguments<'_>) -> bool {
        if arguments.take_word("withdist") {
            self.with_distance = true;
        } else if arguments.take_word("withhash") {
            self.with_score = true;
        } else if arguments.take_word("withcoord") {
            self.with_place = true;
        } else if arguments.take_word("any") {
            self.takes_any = true;
        } else if arguments.take_word("asc") {
            self.order = Some(Order::Ascending);
        } else if arguments.take_word("desc") {
            self.order = Some(Order::Descending);
        } else {
            return false;
        }
        true
    }

    fn take_limit(&mut self, arguments: &mut Arguments<'_>) -> Result<bool, CommandError> {
        if arguments.len() < 2 || !arguments.take_word("count") {
            return Ok(false);
        }
        let count = arguments.take_integer()?;
        if count <= 0 {
            return refused(words::geo::NO_COUNT);
        }
        self.count = Some(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(true)
    }

    fn take_store(&mut self, form: Form, arguments: &mut Arguments<'_>) -> bool {
        if form.stores && arguments.take_word("storedist") {
            self.stores_distance = true;
            return true;
        }
        if !form.may_store || arguments.len() < 2 {
            return false;
        }
        let is_score = arguments.take_word("store");
        if !is_score && !arguments.take_word("storedist") {
            return false;
        }
        self.stores_distance = !is_score;
        self.store = Some(arguments.take().into());
        true
    }

    /// Takes what GEOSEARCH says of center and extent.
    fn take_shape(
        &mut self,
        arguments: &mut Arguments<'_>,
        set: Option<SortedSetRef<'_>>,
    ) -> Result<bool, CommandError> {
        let behind = arguments.len() - 1;
        let is_free = |given: Given| self.has_center.is_none_or(|center| center == given);
        let is_circle = matches!(self.shape.extent, Extent::Circle { .. });
        if behind > 0 && is_free(Given::Member) && arguments.take_word("frommember") {
            self.has_center = Some(Given::Member);
            match set {
                Some(_) => self.take_member(arguments, set)?,
                None => arguments.skip(1),
            }
        } else if behind > 1 && is_free(Given::Place) && arguments.take_word("fromlonlat") {
            self.shape.center = take_place(arguments)?;
            self.has_center = Some(Given::Place);
        } else if behind > 1 && (is_circle || !self.has_extent) && arguments.take_word("byradius") {
            self.take_radius(arguments)?;
            self.has_extent = true;
        } else if behind > 2 && (!is_circle || !self.has_extent) && arguments.take_word("bybox") {
            self.take_box(arguments)?;
            self.has_extent = true;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn take_member(
        &mut self,
        arguments: &mut Arguments<'_>,
        set: Option<SortedSetRef<'_>>,
    ) -> Result<(), CommandError> {
        let member = arguments.take();
        let score = set.and_then(|set| set.score(member));
        let score = score.ok_or(CommandError::fixed(words::geo::NO_MEMBER))?;
        self.shape.center = Cell::of_score(score.get()).place();
        Ok(())
    }

    fn take_radius(&mut self, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
        let radius = number_or(arguments.take(), words::geo::NO_RADIUS)?;
        if radius < 0.0 {
            return refused(words::geo::NEGATIVE_RADIUS);
        }
        self.shape.unit_m = take_unit(arguments)?;
        self.shape.extent = Extent::Circle { radius };
        Ok(())
    }

    fn take_box(&mut self, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
        let width = number_or(arguments.take(), words::geo::NO_WIDTH)?;
        let height = number_or(arguments.take(), words::geo::NO_HEIGHT)?;
        if width < 0.0 || height < 0.0 {
            return refused(words::geo::NEGATIVE_SIZE);
        }
        self.shape.unit_m = take_unit(arguments)?;
        self.shape.extent = Extent::Box { width, height };
        Ok(())
    }

    /// What options must and must not be together.
    fn judge(&mut self, form: Form) -> Result<(), CommandError> {
        let tells_more = self.with_distance || self.with_score || self.with_place;
        if self.store.is_some() && tells_more {
            return refused(match form.stores {
                true => words::geo::SEARCH_STORES_ALONE,
                false => words::geo::RADIUS_STORES_ALONE,
            });
        }
        if form.given == Given::Options {
            let name = if form.stores {
                "GEOSEARCHSTORE"
            } else {
                "GEOSEARCH"
            };
            let text = match (self.has_center, self.has_extent) {
                (None, _) => Some(words::geo::no_center(name)),
                (_, false) => Some(words::geo::no_extent(name)),
                _ => None,
            };
            if let Some(text) = text {
                return Err(CommandError::composed(text.into_bytes()));
            }
        }
        if self.takes_any && self.count.is_none() {
            return refused(words::geo::ANY_WITHOUT_COUNT);
        }
        // The nearest ones are meant, if any will not do.
        if self.count.is_some() && !self.takes_any && self.order.is_none() {
            self.order = Some(Order::Ascending);
        }
        Ok(())
    }
}
