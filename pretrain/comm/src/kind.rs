//! What ranks ask for, as a number that can be compared before anything else moves.

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Singles,
    Doubles,
    /// Its length is that of the numbers in the high 40 bits, and the root in the low 24.
    Broadcast,
    Gather,
    Barrier,
}

impl Kind {
    /// In words, of kind and length.
    pub(crate) fn name([kind, length]: [u64; 2]) -> String {
        match kind {
            0 => format!("all_reduce_sum of {length} f32"),
            1 => format!("all_reduce_sum of {length} f64"),
            2 => format!("broadcast of {} f32 from rank {}", length >> 24, length & 0xff_ffff),
            3 => "gather".to_owned(),
            _ => "barrier".to_owned(),
        }
    }
}
