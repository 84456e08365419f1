//! Judges a history of transactions: is there an order in which they could have run one after the
//! other, each between its begin and its end?
//!
//! Transactions append unique numbers to lists and read lists, so a read tells which appends came
//! before it, and in which order. From that follow dependencies: who wrote what the other read or
//! appended behind (`ww`, `wr`), who read a list before the other appended (`rw`), who ended before the
//! other began. A history is strictly serialisable exactly when these form no cycle.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What one transaction did to one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Appended a number that nobody else appends.
    Append(u64, u64),
    /// Read the whole list.
    Read(u64, Vec<u64>),
}

/// A transaction that took place.
#[derive(Clone, Debug)]
pub(crate) struct Txn {
    /// When it was sent and when it was answered.
    pub(crate) time: (u64, u64),
    /// What it did, in order.
    pub(crate) ops: Vec<Op>,
}

/// A dependency: the second transaction comes after the first.
type Edges = Vec<HashSet<usize>>;

/// Finds a reason why the history is not strictly serialisable.
///
/// # Errors
/// The reason.
pub(crate) fn check(history: &[Txn]) -> Result<(), String> {
    let writers = writers(history)?;
    for (index, txn) in history.iter().enumerate() {
        check_own(index, txn)?;
    }
    let orders = orders(history)?;
    let mut edges: Edges = vec![HashSet::new(); history.len()];
    for (key, order) in &orders {
        let writer = |number: &u64| -> Result<usize, String> {
            let found = writers.get(&(*key, *number)).copied();
            found.ok_or_else(|| format!("list {key} holds {number}, which no transaction appended"))
        };
        for pair in order.windows(2) {
            join(&mut edges, writer(&pair[0])?, writer(&pair[1])?);
        }
        if let [only] = order.as_slice() {
            writer(only)?;
        }
        for (reader, seen) in reads(history, *key) {
            if let Some(last) = seen.last() {
                let last_writer = writer(last)?;
                let appended = appends(&history[last_writer], *key);
                if last_writer != reader && appended.last() != Some(last) {
                    return Err(format!(
                        "{reader} saw {last} of {key}, halfway through {last_writer}"
                    ));
                }
                join(&mut edges, last_writer, reader);
            }
            // Its own appends are no news to it.
            let own = appends(&history[reader], *key);
            if let Some(next) = order[seen.len()..].iter().find(|number| !own.contains(number)) {
                join(&mut edges, reader, writer(next)?);
            }
        }
    }
    acyclic(history, edges)
}

fn join(edges: &mut Edges, before: usize, after: usize) {
    if before != after {
        edges[before].insert(after);
    }
}

/// Who appended which number to which list.
fn writers(history: &[Txn]) -> Result<HashMap<(u64, u64), usize>, String> {
    let mut writers = HashMap::new();
    for (index, txn) in history.iter().enumerate() {
        for op in &txn.ops {
            if let Op::Append(key, number) = op
                && writers.insert((*key, *number), index).is_some()
            {
                return Err(format!("{number} was appended to {key} twice"));
            }
        }
    }
    Ok(writers)
}

fn appends(txn: &Txn, key: u64) -> Vec<u64> {
    let of_key = |op: &Op| match op {
        Op::Append(list, number) if *list == key => Some(*number),
        _ => None,
    };
    txn.ops.iter().filter_map(of_key).collect()
}

/// Each read of a list with its reader, without what the reader itself had appended before.
fn reads(history: &[Txn], key: u64) -> Vec<(usize, Vec<u64>)> {
    let mut reads = Vec::new();
    for (index, txn) in history.iter().enumerate() {
        let mut own = 0;
        for op in &txn.ops {
            match op {
                Op::Append(list, _) if *list == key => own += 1,
                Op::Read(list, seen) if *list == key => {
                    reads.push((index, seen[..seen.len() - own].to_vec()));
                }
                _ => {}
            }
        }
    }
    reads
}

/// A transaction sees its own appends, and nobody else's between its operations.
fn check_own(index: usize, txn: &Txn) -> Result<(), String> {
    let mut known: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut own: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for op in &txn.ops {
        match op {
            Op::Append(key, number) => {
                own.entry(*key).or_default().push(*number);
                if let Some(known) = known.get_mut(key) {
                    known.push(*number);
                }
            }
            Op::Read(key, seen) => {
                let ends_with_own = own.get(key).is_none_or(|own| seen.ends_with(own));
                let fits = known.get(key).is_none_or(|known| known == seen);
                if !ends_with_own || !fits {
                    return Err(format!(
                        "{index} saw {seen:?} in {key}, which does not fit {txn:?}"
                    ));
                }
                known.insert(*key, seen.clone());
            }
        }
    }
    Ok(())
}

/// The numbers of each list in order: the longest read, of which all others are beginnings.
fn orders(history: &[Txn]) -> Result<BTreeMap<u64, Vec<u64>>, String> {
    let mut orders: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let all = || {
        history.iter().flat_map(|txn| &txn.ops).filter_map(|op| match op {
            Op::Read(key, seen) => Some((*key, seen)),
            Op::Append(..) => None,
        })
    };
    for (key, seen) in all() {
        let longest = orders.entry(key).or_default();
        if seen.len() > longest.len() {
            longest.clone_from(seen);
        }
    }
    for (key, seen) in all() {
        if !orders[&key].starts_with(seen) {
            return Err(format!("list {key} was {seen:?} and {:?}", orders[&key]));
        }
    }
    for (key, order) in &orders {
        if order.iter().collect::<HashSet<_>>().len() < order.len() {
            return Err(format!("list {key} holds a number twice: {order:?}"));
        }
    }
    Ok(orders)
}

/// Looks for a cycle among dependencies and time.
///
/// Time is a chain of nodes behind those of the transactions, one for each end: a transaction comes
/// before its end, and after the last end before its begin.
fn acyclic(history: &[Txn], mut edges: Edges) -> Result<(), String> {
    let mut ends: Vec<(u64, usize)> =
        history.iter().enumerate().map(|(index, txn)| (txn.time.1, index)).collect();
    ends.sort_unstable();
    let first = history.len();
    edges.resize(first + ends.len(), HashSet::new());
    for (place, (_, txn)) in ends.iter().enumerate() {
        edges[*txn].insert(first + place);
        if place + 1 < ends.len() {
            edges[first + place].insert(first + place + 1);
        }
    }
    for (index, txn) in history.iter().enumerate() {
        let before = ends.partition_point(|(end, _)| *end < txn.time.0);
        if before > 0 {
            edges[first + before - 1].insert(index);
        }
    }
    // What has nothing before it can go first; what remains goes round in circles.
    let mut waits = vec![0usize; edges.len()];
    edges.iter().flatten().for_each(|after| waits[*after] += 1);
    let mut free: Vec<usize> = (0..edges.len()).filter(|node| waits[*node] == 0).collect();
    let mut placed = 0;
    while let Some(node) = free.pop() {
        placed += 1;
        for after in &edges[node] {
            waits[*after] -= 1;
            if waits[*after] == 0 {
                free.push(*after);
            }
        }
    }
    if placed == edges.len() {
        return Ok(());
    }
    let stuck = (0..history.len()).filter(|txn| waits[*txn] > 0).take(8);
    let shown: Vec<String> = stuck.map(|txn| format!("{txn}: {:?}", history[txn])).collect();
    Err(format!("no order fits; among those in the way are\n{}", shown.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::Op::{Append, Read};
    use super::*;

    fn txn(time: (u64, u64), ops: &[Op]) -> Txn {
        Txn { time, ops: ops.to_vec() }
    }

    fn reason(history: &[Txn]) -> String {
        check(history).expect_err("an anomaly")
    }

    #[test]
    fn histories_that_fit() {
        assert_eq!(check(&[]), Ok(()));
        let sequence = [
            txn((0, 1), &[Append(1, 1), Append(2, 1)]),
            txn((2, 3), &[Read(1, vec![1]), Append(1, 2), Read(1, vec![1, 2])]),
            txn((4, 5), &[Read(1, vec![1, 2]), Read(2, vec![1])]),
        ];
        assert_eq!(check(&sequence), Ok(()));
        // At the same time, either order is right.
        let overlap = [
            txn((0, 9), &[Append(1, 1)]),
            txn((1, 8), &[Append(1, 2)]),
            txn((10, 11), &[Read(1, vec![2, 1])]),
        ];
        assert_eq!(check(&overlap), Ok(()));
    }

    #[test]
    fn anomalies_are_found() {
        // A lost update: both read the empty list, both appended.
        let lost = [
            txn((0, 9), &[Read(1, vec![]), Append(1, 1)]),
            txn((0, 9), &[Read(1, vec![]), Append(1, 2)]),
            txn((10, 11), &[Read(1, vec![1, 2])]),
        ];
        assert!(reason(&lost).contains("no order"));
        // A write skew over two lists.
        let skew = [
            txn((0, 9), &[Read(1, vec![]), Append(2, 1)]),
            txn((0, 9), &[Read(2, vec![]), Append(1, 1)]),
            txn((10, 11), &[Read(1, vec![1]), Read(2, vec![1])]),
        ];
        assert!(reason(&skew).contains("no order"));
        // A fractured read: one list after, the other before.
        let fractured = [
            txn((0, 9), &[Append(1, 1), Append(2, 1)]),
            txn((0, 9), &[Read(1, vec![1]), Read(2, vec![])]),
            txn((10, 11), &[Read(2, vec![1])]),
        ];
        assert!(reason(&fractured).contains("no order"));
        // Serialisable, but not in the order of time.
        let stale = [
            txn((0, 1), &[Append(1, 1)]),
            txn((2, 3), &[Read(1, vec![])]),
            txn((4, 5), &[Read(1, vec![1])]),
        ];
        assert!(reason(&stale).contains("no order"));
        // Written in an order that time forbids.
        let swapped = [
            txn((0, 1), &[Append(1, 1)]),
            txn((2, 3), &[Append(1, 2)]),
            txn((4, 5), &[Read(1, vec![2, 1])]),
        ];
        assert!(reason(&swapped).contains("no order"));
    }

    #[test]
    fn broken_reads_are_found() {
        let halfway = [
            txn((0, 9), &[Append(1, 1), Append(1, 2)]),
            txn((0, 9), &[Read(1, vec![1])]),
            txn((10, 11), &[Read(1, vec![1, 2])]),
        ];
        assert!(reason(&halfway).contains("halfway"));
        let aborted = [txn((0, 1), &[Read(1, vec![7])])];
        assert!(reason(&aborted).contains("no transaction"));
        let forked = [txn((0, 1), &[Read(1, vec![1, 2])]), txn((0, 1), &[Read(1, vec![2])])];
        assert!(reason(&forked).contains("was"));
        let torn = [txn((0, 1), &[Read(1, vec![]), Append(1, 1), Read(1, vec![2, 1])])];
        assert!(reason(&torn).contains("does not fit"));
        let twice = [txn((0, 1), &[Append(1, 1)]), txn((0, 1), &[Append(1, 1)])];
        assert!(reason(&twice).contains("twice"));
    }
}
