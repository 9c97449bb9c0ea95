//! Nodes that are refused, or refuse this one: what the log and the status say of them.

use std::time::Instant;

use repligo_core::contract::PeerId;

use super::Links;
use crate::net::greeting::Refusal;
use crate::net::refusals::{Refusals, Source};
use crate::telemetry::refusal::{NO_LINK, cause_of_other};

/// Nodes without a place among the members whose refusal is remembered; the earliest makes way.
const REFUSED_MAX: usize = 4;

/// Who says why a stream did not become a link.
fn source_of(refusal: &Refusal) -> Source {
    match cause_of_other(&refusal.text) {
        _ if refusal.is_broken => Source::Broken,
        Some(cause) if cause == NO_LINK => Source::Elsewhere,
        Some(_) => Source::Other,
        None => Source::Own,
    }
}

impl Links {
    /// Notes why a node was refused, or refuses this one. It will try again every half second.
    pub fn note_refusal(&mut self, peer: Option<PeerId>, refusal: &Refusal) {
        let (now, source) = (Instant::now(), source_of(refusal));
        let link = peer.and_then(|peer| self.links.iter_mut().find(|link| link.peer == peer));
        let (name, is_told) = match (link, peer) {
            (Some(link), _) => {
                let is_told = link.refusals.note(&refusal.text, source, now);
                (Some(link.name.as_str()), is_told)
            }
            (None, Some(peer)) => (None, self.refused(peer).note(&refusal.text, source, now)),
            (None, None) => (None, self.strangers.note(&refusal.text, source, now)),
        };
        if !is_told || !self.log.admits() {
            return;
        }
        let (peer, text) = (name.map(tracing::field::display), &refusal.text);
        if refusal.is_broken {
            tracing::info!(peer, "no peer link yet: {text}");
        } else {
            tracing::warn!(peer, "peer link refused: {text}");
        }
    }

    /// What is remembered of a node that has greeted under this number, which no member has.
    fn refused(&mut self, peer: PeerId) -> &mut Refusals {
        let place = self.refused.iter().position(|(known, _)| *known == peer);
        let place = place.unwrap_or_else(|| {
            if self.refused.len() >= REFUSED_MAX {
                self.refused.remove(0);
            }
            self.refused.push((peer, Refusals::of_node()));
            self.refused.len() - 1
        });
        &mut self.refused[place].1
    }

    /// Why nodes that are no members are refused now.
    pub fn refused_strangers(&self) -> Vec<String> {
        let now = Instant::now();
        let strangers = self
            .links
            .iter()
            .filter(|link| !link.is_member && link.epoch == 0);
        let refusals = strangers.map(|link| &link.refusals);
        refusals
            .chain(self.refused.iter().map(|(_, refusals)| refusals))
            .filter_map(|refusals| refusals.present(now).map(str::to_owned))
            .collect()
    }
}
