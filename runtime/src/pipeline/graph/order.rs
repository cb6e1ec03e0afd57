//! The order in which operators can be run.

use std::collections::BTreeSet;

/// An order of `reads.len()` nodes in which each comes behind all that it reads, otherwise as they are numbered; or a
/// cycle, each node followed by one that reads it.
pub(super) fn order(reads: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut read_by = vec![Vec::new(); reads.len()];
    let mut waiting_for: Vec<usize> = reads.iter().map(Vec::len).collect();
    for (node, upstream) in reads.iter().enumerate() {
        for &read in upstream {
            read_by[read].push(node);
        }
    }
    let mut free: BTreeSet<usize> = (0..reads.len()).filter(|&node| reads[node].is_empty()).collect();
    let mut order = Vec::with_capacity(reads.len());
    while let Some(node) = free.pop_first() {
        order.push(node);
        for &reader in &read_by[node] {
            waiting_for[reader] -= 1;
            if waiting_for[reader] == 0 {
                free.insert(reader);
            }
        }
    }
    match waiting_for.iter().position(|&n| n > 0) {
        None => Ok(order),
        Some(stuck) => Err(cycle(stuck, reads, &waiting_for)),
    }
}

/// A cycle found from a node that waits: each such node reads another one, so the way back must meet itself.
fn cycle(stuck: usize, reads: &[Vec<usize>], waiting_for: &[usize]) -> Vec<usize> {
    let mut way = vec![stuck];
    let mut node = stuck;
    while let Some(&read) = reads[node].iter().find(|&&n| waiting_for[n] > 0) {
        if let Some(at) = way.iter().position(|&n| n == read) {
            way.drain(..at);
            break;
        }
        way.push(read);
        node = read;
    }
    way.reverse();
    let least = way.iter().enumerate().min_by_key(|(_, n)| **n).map_or(0, |(at, _)| at);
    way.rotate_left(least);
    way
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn nodes_come_behind_what_they_read() {
        for (reads, expected) in [
            (vec![], Ok(vec![])),
            (vec![vec![], vec![], vec![]], Ok(vec![0, 1, 2])),
            (vec![vec![2], vec![], vec![1]], Ok(vec![1, 2, 0])),
            (vec![vec![1, 1], vec![]], Ok(vec![1, 0])),
            (vec![vec![0]], Err(vec![0])),
            (vec![vec![], vec![3], vec![1], vec![2, 0]], Err(vec![1, 2, 3])),
            (vec![vec![1], vec![2], vec![1]], Err(vec![1, 2])),
        ] {
            assert_eq!(order(&reads), expected, "{reads:?}");
        }
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let count = 50_000;
        let reads: Vec<_> = (0..count).map(|n| if n + 1 < count { vec![n + 1] } else { vec![] }).collect();
        assert_eq!(order(&reads).unwrap().first(), Some(&(count - 1)));
    }
}
