//! Tasks that the group has left with nobody.
//!
//! A static member that is killed while it is to give up tasks gets those that it was to keep when it comes back. To the
//! broker nothing has changed, so the join in which the others would have been shared out never comes: nobody has them in
//! that generation. Each member looks in each generation, when what was revoked is released; the one with the fewest tasks
//! joins anew, for a client has no other way to have the group share out its tasks.

use std::collections::HashSet;
use std::sync::{PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::{Membership, Shared};
use crate::kafka::admin;
use crate::kafka::client::Error;
use crate::kafka::native::describe::GroupMember;

/// How often it is looked whether there is a new generation.
const LOOK: Duration = Duration::from_secs(1);

/// How much longer than a revocation a generation lasts before it is asked about.
const MARGIN: Duration = Duration::from_secs(5);

/// How often the wait is doubled at most, when joining anew did not help.
const DOUBLED: u32 = 5;

/// Looks after the group's tasks until the membership is stopped.
pub(super) fn watch(shared: &Weak<Shared>) {
    let mut watch = Watch::default();
    while let Some(shared) = shared.upgrade().filter(|shared| !shared.is_stopping()) {
        let patience = shared.pipeline.client.timing().release() + MARGIN;
        if watch.is_due(shared.membership(), patience)
            && let Err(error) = look(&shared, &mut watch)
        {
            tracing::debug!(%error, "look for tasks that nobody has");
        }
        drop(shared);
        thread::sleep(LOOK);
    }
}

/// Asks whether all tasks are some member's, and has this one join anew if it is to.
fn look(shared: &Shared, watch: &mut Watch) -> Result<(), Error> {
    let pipeline = &shared.pipeline;
    let Some(members) = admin::members(&pipeline.client, &pipeline.identity.group())? else { return Ok(()) };
    let lookup = pipeline.client.lookup()?;
    let widths = shared.topics().into_iter().map(|topic| Ok((topic, admin::partitions(&lookup, topic)?.unwrap_or(0))));
    let orphans = orphans(&members, widths.collect::<Result<Vec<_>, Error>>()?);
    // What was said may be of another generation by now.
    if shared.membership() == watch.membership && watch.is_to_join_anew(&members, orphans) {
        tracing::warn!(
            tasks = orphans,
            "nobody has some of the tasks: this node joins again, so that they are shared out"
        );
        shared.anew.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&watch.membership);
    }
    Ok(())
}

/// What is known of a member's generation.
#[derive(Default)]
struct Watch {
    membership: Option<Membership>,
    /// When it began, or was asked about last.
    since: Option<Instant>,
    /// How often somebody was found to be without tasks in it.
    found: usize,
    /// Whether there is no more to do in it.
    is_settled: bool,
    /// How often this member has joined anew since all tasks were somebody's.
    attempts: u32,
}

impl Watch {
    /// Whether the same membership has lasted for so long and is to be asked about, for the first time or again.
    fn is_due(&mut self, membership: Option<Membership>, patience: Duration) -> bool {
        let now = Instant::now();
        if self.membership != membership {
            *self = Self { membership, since: Some(now), attempts: self.attempts, ..Self::default() };
        }
        let patience = patience.saturating_mul(1 << self.attempts.min(DOUBLED));
        let is_due =
            self.membership.is_some() && !self.is_settled && self.since.is_some_and(|since| now - since >= patience);
        if is_due {
            self.since = Some(now);
        }
        is_due
    }

    /// Whether this member is to have so many tasks shared out: the one with the fewest, and when that does not, the next.
    fn is_to_join_anew(&mut self, members: &[GroupMember], orphans: usize) -> bool {
        let id = self.membership.as_ref().map_or("", |(_, id)| id);
        let rank = rank(members, id);
        if orphans == 0 {
            (self.is_settled, self.attempts) = (true, 0);
            return false;
        }
        self.found += 1;
        self.is_settled = rank.is_some_and(|rank| rank < self.found);
        self.attempts += u32::from(self.is_settled);
        self.is_settled
    }
}

/// How many partitions of topics no member has.
fn orphans(members: &[GroupMember], topics: Vec<(&str, u32)>) -> usize {
    let assigned: HashSet<_> =
        members.iter().flat_map(|member| &member.assignment).map(|(topic, of)| (topic.as_str(), *of)).collect();
    let partitions = topics.into_iter().flat_map(|(topic, count)| (0..count as i32).map(move |of| (topic, of)));
    partitions.filter(|partition| !assigned.contains(partition)).count()
}

/// How many members have fewer partitions than one of them, or as many and come before it.
fn rank(members: &[GroupMember], id: &str) -> Option<usize> {
    let place = |member: &GroupMember| (member.assignment.len(), member.id.clone());
    let own = place(members.iter().find(|member| member.id == id)?);
    Some(members.iter().filter(|member| place(member) < own).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, assignment: &[(&str, i32)]) -> GroupMember {
        let assignment = assignment.iter().map(|&(topic, partition)| (topic.to_owned(), partition));
        GroupMember { id: id.to_owned(), assignment: assignment.collect() }
    }

    fn members() -> [GroupMember; 3] {
        [member("a", &[("t", 0), ("u", 1)]), member("c", &[("u", 0)]), member("b", &[("t", 1)])]
    }

    fn is(generation: i32, id: &str) -> Membership {
        (generation, id.to_owned())
    }

    #[test]
    fn partitions_that_nobody_has_are_counted() {
        assert_eq!(orphans(&members(), vec![("t", 2), ("u", 2)]), 0);
        assert_eq!(orphans(&members(), vec![("t", 2), ("u", 3)]), 1);
        assert_eq!(orphans(&members()[..2], vec![("t", 2), ("u", 2)]), 1);
        assert_eq!(["a", "b", "c", "d"].map(|id| rank(&members(), id)), [Some(2), Some(0), Some(1), None]);
    }

    #[test]
    fn the_member_with_the_fewest_tasks_joins_anew_and_then_the_next() {
        let mut watches = ["a", "b", "c"].map(|id| Watch { membership: Some(is(1, id)), ..Watch::default() });
        let mut asked = || watches.each_mut().map(|watch| watch.is_to_join_anew(&members(), 1));
        assert_eq!(asked(), [false, true, false]);
        assert!(asked()[2]);
        assert!(asked()[0]);
        assert!(!Watch::default().is_to_join_anew(&members(), 1), "it is no member");
    }

    #[test]
    fn a_generation_is_asked_about_when_it_has_lasted_until_all_is_known() {
        let mut watch = Watch::default();
        assert!(!watch.is_due(None, Duration::ZERO), "it is no member");
        assert!(!watch.is_due(Some(is(1, "b")), Duration::MAX), "it is too early");
        assert!(watch.is_due(Some(is(1, "b")), Duration::ZERO));
        assert!(watch.is_due(Some(is(1, "b")), Duration::ZERO), "nobody has said");
        assert!(!watch.is_to_join_anew(&members(), 0));
        assert!(!watch.is_due(Some(is(1, "b")), Duration::ZERO), "all is well");
        assert!(watch.is_due(Some(is(2, "b")), Duration::ZERO));
        assert!(watch.is_due(Some(is(2, "c")), Duration::ZERO), "it was a member anew");
    }

    #[test]
    fn a_member_that_joined_anew_in_vain_waits_longer() {
        let mut watch = Watch::default();
        assert!(watch.is_due(Some(is(1, "b")), Duration::ZERO));
        assert!(watch.is_to_join_anew(&members(), 1));
        assert!(!watch.is_due(Some(is(1, "b")), Duration::ZERO), "it is about to");
        assert!(!watch.is_due(Some(is(2, "b")), Duration::MAX), "it is too early");
        watch.since = Some(Instant::now().checked_sub(Duration::from_secs(3)).expect("a time"));
        assert!(!watch.is_due(Some(is(2, "b")), Duration::from_secs(2)));
        assert!(watch.is_due(Some(is(2, "b")), Duration::from_secs(1)));
        assert!(!watch.is_to_join_anew(&members(), 0));
        assert_eq!(watch.attempts, 0);
    }
}
