//! How a kernel moves over a map, and the sizes that follow.

use crate::{Error, Result};

/// Rows and columns of zeros around a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same on all four sides.
    pub const fn symmetric(padding: usize) -> Self {
        Self { top: padding, bottom: padding, left: padding, right: padding }
    }

    /// TensorFlow's SAME for a map of `input` = \[h, w\]: `ceil(n / stride)` outputs an axis, and the odd zero goes
    /// below or to the right.
    pub fn same(input: [usize; 2], kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Self {
        let axis = |i: usize| {
            let reach = (kernel[i].max(1) - 1) * dilation[i] + 1;
            let outputs = input[i].div_ceil(stride[i].max(1));
            let total = (outputs.max(1) - 1) * stride[i] + reach;
            let total = total.saturating_sub(input[i]);
            (total / 2, total - total / 2)
        };
        let ((top, bottom), (left, right)) = (axis(0), axis(1));
        Self { top, bottom, left, right }
    }
}

/// How a convolution's kernel moves; the default is stride 1, no padding, dilation 1, one group. Axes are \[h, w\].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
    /// Steps between the kernel's elements.
    pub dilation: [usize; 2],
    /// Input and output channels are cut into this many groups that do not see one another.
    pub groups: usize,
}

impl Default for ConvGeometry {
    fn default() -> Self {
        Self { stride: [1, 1], padding: Padding::default(), dilation: [1, 1], groups: 1 }
    }
}

/// How a convolution is computed.
pub(crate) enum Way {
    /// A 1 x 1 kernel over every position: a product without gathering.
    Pointwise,
    /// So few channels a group that gathering would cost more than the products.
    Narrow,
    Columns,
}

/// Every size of one convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    /// Input channels of one group.
    pub(crate) inputs: usize,
    /// Output channels of one group.
    pub(crate) outputs: usize,
    pub(crate) input: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Zeros above and to the left.
    pub(crate) before: [usize; 2],
    padded: bool,
}

impl Sizes {
    pub(crate) fn new(x: [usize; 4], w: [usize; 4], geometry: &ConvGeometry) -> Result<Self> {
        let [batch, channels, height, width] = x;
        let [out_channels, inputs, kernel_h, kernel_w] = w;
        let ConvGeometry { stride, padding, dilation, groups } = *geometry;
        let refuse = |expected, got: String| Err(Error::Geometry { op: OP, expected, got });
        if stride.contains(&0) || dilation.contains(&0) || groups == 0 {
            return refuse("stride, dilation and groups of at least 1", format!("{geometry:?}"));
        }
        if w.contains(&0) {
            return refuse("a weight without an axis of length 0", format!("{w:?}"));
        }
        if height == 0 || width == 0 {
            return refuse("a map of at least 1 x 1", format!("{height} x {width}"));
        }
        if channels != inputs * groups {
            let got = format!("{channels} channels, {groups} groups, weight {w:?}");
            return refuse("as many input channels as weight axis 1 times groups", got);
        }
        if out_channels % groups != 0 {
            let got = format!("{out_channels} output channels, {groups} groups");
            return refuse("output channels that the groups divide", got);
        }
        let axis = |n: usize, before: usize, after: usize, i: usize| {
            let padded = n.checked_add(before)?.checked_add(after)?;
            let reach = ([kernel_h, kernel_w][i] - 1).checked_mul(dilation[i])?.checked_add(1)?;
            Some(padded.checked_sub(reach)? / stride[i] + 1)
        };
        let height_out = axis(height, padding.top, padding.bottom, 0);
        let width_out = axis(width, padding.left, padding.right, 1);
        let (Some(height_out), Some(width_out)) = (height_out, width_out) else {
            let got = format!("map {height} x {width}, kernel {kernel_h} x {kernel_w}, {geometry:?}");
            return refuse("a padded map at least as large as the dilated kernel", got);
        };
        Ok(Self {
            batch,
            groups,
            inputs,
            outputs: out_channels / groups,
            input: [height, width],
            kernel: [kernel_h, kernel_w],
            output: [height_out, width_out],
            stride,
            dilation,
            before: [padding.top, padding.left],
            padded: padding != Padding::default(),
        })
    }

    /// Elements of one input channel.
    pub(crate) fn input_area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Elements of one output channel.
    pub(crate) fn output_area(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements of the kernel for one pair of channels.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements of one group's weight.
    pub(crate) fn group_weight(&self) -> usize {
        self.outputs * self.inputs * self.taps()
    }

    pub(crate) fn way(&self) -> Way {
        if self.kernel == [1, 1] && self.stride == [1, 1] && !self.padded {
            Way::Pointwise
        } else if self.groups > 1 && self.inputs <= NARROW && self.outputs <= NARROW {
            Way::Narrow
        } else {
            Way::Columns
        }
    }

    /// So few pairs of channels a group that dot products give the weight's gradient faster than gathering does.
    pub(crate) fn has_few_pairs(&self) -> bool {
        self.inputs * self.outputs <= NARROW
    }

    pub(crate) fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.groups * self.outputs, self.output[0], self.output[1]]
    }

    /// The outputs along `axis` whose kernel element `k` meets the map, as a range, and the first one's coordinate on
    /// the map.
    pub(crate) fn meets(&self, axis: usize, k: usize) -> (std::ops::Range<usize>, usize) {
        let (shift, step) = (k * self.dilation[axis], self.stride[axis]);
        let first = self.before[axis].saturating_sub(shift).div_ceil(step);
        let end = (self.input[axis] + self.before[axis]).saturating_sub(shift).div_ceil(step);
        let end = end.min(self.output[axis]);
        if first >= end {
            return (0..0, 0);
        }
        (first..end, first * step + shift - self.before[axis])
    }
}

pub(crate) const OP: &str = "conv2d";
const NARROW: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of offsets: SAME pads (0, 1) and (1, 2) on even maps at stride 2, symmetrically on odd ones.
    #[test]
    fn same_is_tensorflows() {
        let at = |n: usize, k: usize, s: usize| {
            let padding = Padding::same([n, n + 1], [k, k], [s, s], [1, 1]);
            ((padding.top, padding.bottom), (padding.left, padding.right))
        };
        assert_eq!(at(224, 3, 2), ((0, 1), (1, 1)));
        assert_eq!(at(112, 5, 2), ((1, 2), (2, 2)));
        assert_eq!(at(95, 3, 2), ((1, 1), (0, 1)));
        assert_eq!(at(7, 5, 1), ((2, 2), (2, 2)));
        assert_eq!(at(5, 1, 2), ((0, 0), (0, 0)));
        assert_eq!(Padding::same([9, 9], [3, 3], [1, 1], [2, 2]), Padding::symmetric(2));
    }
}
