//! What is lost between whom. Pure data: the holder turns it into rules.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::layout::{Layout, SWITCHES};

/// One path on which frames are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) port_in: String,
    pub(crate) port_out: String,
    pub(crate) percent: u8,
}

/// One direction between two machines on one switch.
type Path = (usize, usize, usize);

/// All losses of a lab, by path: from, to, switch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(BTreeMap<Path, u8>);

impl Faults {
    /// Loses `percent` of what goes from each of `from` to each of `to`; 0 ends it.
    pub(crate) fn lose(
        &mut self,
        from: &[usize],
        to: &[usize],
        switch: Option<usize>,
        percent: u8,
    ) -> Result<()> {
        if percent > 100 {
            bail!("{percent} % is more than everything");
        }
        for switch in switches(switch)? {
            for &source in from {
                for &sink in to.iter().filter(|&&sink| sink != source) {
                    match percent {
                        0 => self.0.remove(&(source, sink, switch)),
                        _ => self.0.insert((source, sink, switch), percent),
                    };
                }
            }
        }
        Ok(())
    }

    /// Cuts every path between machines of different groups. A machine in no group still
    /// reaches everybody.
    pub(crate) fn partition(&mut self, groups: &[Vec<usize>], switch: Option<usize>) -> Result<()> {
        for (i, from) in groups.iter().enumerate() {
            for (j, to) in groups.iter().enumerate() {
                if i == j {
                    continue;
                }
                if let Some(both) = from.iter().find(|machine| to.contains(machine)) {
                    bail!("machine {} of the lab is on both sides of the partition", both + 1);
                }
                self.lose(from, to, switch, 100)?;
            }
        }
        Ok(())
    }

    pub(crate) fn heal(&mut self) {
        self.0.clear();
    }

    /// The paths in terms of the switches' ports.
    pub(crate) fn losses(&self, layout: &Layout) -> Vec<Loss> {
        let loss = |(&(from, to, switch), &percent): (&Path, &u8)| Loss {
            port_in: layout.port(from, switch),
            port_out: layout.port(to, switch),
            percent,
        };
        self.0.iter().map(loss).collect()
    }

    /// The paths in terms of names.
    pub(crate) fn named(&self, layout: &Layout) -> Vec<(String, String, usize, u8)> {
        let name = |index| layout.machine_name(index).to_owned();
        self.0.iter().map(|(&(from, to, switch), &percent)| (name(from), name(to), switch, percent)).collect()
    }
}

/// The switches that are meant: one, or all.
pub(crate) fn switches(switch: Option<usize>) -> Result<Vec<usize>> {
    match switch {
        Some(switch) if switch >= SWITCHES => {
            bail!("there is no switch {switch}: the switches are 0 to {}", SWITCHES - 1)
        }
        Some(switch) => Ok(vec![switch]),
        None => Ok((0..SWITCHES).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_cuts_between_groups_and_nowhere_else() {
        let mut faults = Faults::default();
        faults.partition(&[vec![0], vec![1, 2]], Some(1)).unwrap();
        let paths: Vec<_> = faults.0.keys().copied().collect();
        assert_eq!(paths, [(0, 1, 1), (0, 2, 1), (1, 0, 1), (2, 0, 1)]);
    }

    #[test]
    fn loss_is_one_way_and_ends() {
        let mut faults = Faults::default();
        faults.lose(&[0], &[0, 1], None, 30).unwrap();
        assert_eq!(faults.0.into_iter().collect::<Vec<_>>(), [((0, 1, 0), 30), ((0, 1, 1), 30)]);
        let mut faults = Faults::default();
        faults.lose(&[0], &[1], Some(0), 30).unwrap();
        faults.lose(&[0], &[1], None, 0).unwrap();
        assert!(faults.0.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        let mut faults = Faults::default();
        assert!(faults.lose(&[0], &[1], None, 101).is_err());
        assert!(faults.lose(&[0], &[1], Some(2), 1).is_err());
        assert!(faults.partition(&[vec![0, 1], vec![1]], None).is_err());
    }
}
