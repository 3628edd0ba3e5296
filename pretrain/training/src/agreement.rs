//! Whether ranks that are processes were started with the same things.

use pretrain_comm::Collective;

use crate::{Error, Result};

/// Refuses ranks that differ in `what`, which `text` says of this rank: a hash, or all of it. Every rank gets the same error.
///
/// # Errors
/// [`Error::RanksDiffer`] with the first rank that differs from rank 0 and, where the texts are `key = value` in lines, the
/// lines that do; a rank that does not come.
pub fn require_same(ranks: &dyn Collective, what: &str, text: &str) -> Result<()> {
    if ranks.world() == 1 {
        return Ok(());
    }
    // bytes as numbers: an f64 holds each exactly
    let bytes: Vec<f64> = text.bytes().map(f64::from).collect();
    let texts = ranks.gather(&bytes)?.into_iter().map(|bytes| {
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let texts: Vec<String> = texts.collect();
    let Some(rank) = texts.iter().position(|text| *text != texts[0]) else { return Ok(()) };
    let differences = differences(&texts[0], &texts[rank], rank);
    Err(Error::RanksDiffer { what: what.to_owned(), rank, differences })
}

/// Lines that only one of the two has, with whose they are.
fn differences(first: &str, other: &str, rank: usize) -> Vec<String> {
    let only = |of: &str, not_of: &str, whose: usize| {
        let known: Vec<&str> = not_of.lines().collect();
        let lines = of.lines().filter(|line| !line.is_empty() && !known.contains(line));
        lines.map(|line| format!("rank {whose}: {line}")).collect::<Vec<_>>()
    };
    [only(first, other, 0), only(other, first, rank)].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pretrain_comm::{Solo, threads};

    use super::*;

    #[test]
    fn ranks_that_differ_are_told_where_and_those_that_do_not_go_on() {
        let told: Vec<Vec<String>> = std::thread::scope(|scope| {
            let ranks = threads(3, Duration::from_secs(60)).into_iter().map(|ranks| {
                scope.spawn(move || {
                    require_same(&ranks, "the version", "1.0").unwrap();
                    let text = format!("seed = {}\nsteps = 20\n", if ranks.rank() == 2 { 9 } else { 88 });
                    let error = require_same(&ranks, "the settings", &text).unwrap_err().to_string();
                    let same = require_same(&ranks, "shards", "abc").map_err(|error| error.to_string());
                    vec![error, format!("{same:?}")]
                })
            });
            ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        for told in told {
            let wanted = "rank 2 was started with another thing than rank 0: the settings\n  rank 0: seed = 88\n  \
                          rank 2: seed = 9\n  hint: ";
            assert!(told[0].starts_with(wanted), "{}", told[0]);
            assert_eq!(told[1], "Ok(())");
        }
        require_same(&Solo, "anything", "x").unwrap();
    }
}
