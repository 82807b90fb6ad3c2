//! Those who wait: who stands in which line, for whom a node is kept, and who lets others pass.
//!
//! Deliberately absent: which node is the best of those that fit.

use super::{Ask, Node, NodeId, PlaceId, Scheduler, fits};

impl Scheduler {
    pub(super) fn join(&mut self, id: PlaceId, ask: Ask) {
        let turn = self.turns_made;
        self.turns_made += 1;
        self.waiting.insert(ask.ticket, (id, turn));
        let place = &mut self.places[id.0];
        place.line.insert(turn, ask);
        if place.line.len() == 1 {
            self.due.insert(id);
        }
    }

    /// Of the lines for whose first something has changed, that of whoever asked first.
    pub(super) fn next_due(&self) -> Option<PlaceId> {
        let first = |id: &PlaceId| self.places[id.0].line.keys().next().copied();
        let due = self.due.iter().copied();
        due.min_by_key(|id| (first(id).is_none(), first(id)))
    }

    pub(super) fn first_of(&self, id: PlaceId) -> Option<(u64, Ask)> {
        let first = self.places[id.0].line.first_key_value();
        first.map(|(turn, ask)| (*turn, ask.clone()))
    }

    /// Has the first of a line step out of it if no node can hold it now. Says whether it did.
    pub(super) fn strand(&mut self, id: PlaceId) -> bool {
        let place = &mut self.places[id.0];
        let first = place.line.first_key_value();
        let Some((turn, _)) = first.filter(|(_, ask)| !place.can_hold(ask)) else {
            return false;
        };
        let turn = *turn;
        let ask = place.line.remove(&turn).expect("it was just found");
        place.stranded.insert(turn, ask);
        self.unkeep(id);
        true
    }

    /// Nobody is left in a line.
    pub(super) fn done(&mut self, id: PlaceId) {
        self.unkeep(id);
        self.due.remove(&id);
        self.drop_if_empty(id);
    }

    /// Sees to it that a node is kept for the first of a line: the smallest that can ever hold it.
    pub(super) fn keep(&mut self, id: PlaceId, ask: &Ask) {
        let can_be_kept = |candidate: NodeId, node: &Node| {
            node.is_open()
                && !ask.apart.contains(&candidate)
                && fits(ask.resources, node.state.capacity)
                && node.kept_for.is_none_or(|keeper| keeper == id)
        };
        let place = &self.places[id.0];
        if place
            .kept
            .is_some_and(|node| can_be_kept(node, &self.nodes[&node]))
        {
            return;
        }
        self.unkeep(id);
        let place = &self.places[id.0];
        let is_other = |node: NodeId| !can_be_kept(node, &self.nodes[&node]);
        let Some([node, _]) = place.all.closest(ask.resources, is_other) else {
            return;
        };
        self.places[id.0].kept = Some(node);
        self.nodes.get_mut(&node).expect("it was found").kept_for = Some(id);
    }

    /// A line needs no node kept for it any more: that is somebody else's chance.
    pub(super) fn unkeep(&mut self, id: PlaceId) {
        if let Some(node) = self.places[id.0].kept.take() {
            self.nodes.get_mut(&node).expect("it is there").kept_for = None;
            self.set_due(node);
        }
    }

    /// Those who step back into their lines because of a node.
    pub(super) fn recall_stranded(&mut self, id: NodeId) {
        for place in self.nodes[&id].places.clone() {
            let place = &mut self.places[place.0];
            let mut stranded = std::mem::take(&mut place.stranded);
            place.line.append(&mut stranded);
        }
        self.set_due(id);
    }
}
