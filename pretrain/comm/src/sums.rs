//! The one form in which sums over ranks are made, wherever the ranks are.

use std::ops::AddAssign;

/// Replaces `sum` by 0 + the first part + the second ..., in this order: with numbers of limited precision another order
/// gives other bits.
pub(crate) fn add_in_order<'a, T>(sum: &mut [T], parts: impl IntoIterator<Item = &'a [T]>)
where
    T: Copy + Default + AddAssign + 'a,
{
    sum.fill(T::default());
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += *value);
    }
}
