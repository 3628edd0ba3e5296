//! Activations and their slopes, each a type of its own, so that loops over numbers are compiled for one.

use crate::image::convolution::Activation;
use crate::image::vector::Vector;

/// An activation `f`.
///
/// # Safety
///
/// As of [`Vector`].
pub(super) trait Function {
    unsafe fn of<V: Vector>(z: V) -> V;
    /// `f'(z)`; at a kink the smaller one.
    unsafe fn slope<V: Vector>(z: V) -> V;
    /// `f(z)` and `f'(z)`.
    unsafe fn both<V: Vector>(z: V) -> [V; 2];
}

pub(super) struct Identity;
pub(super) struct Rectifier;
pub(super) struct Swish;

impl Function for Identity {
    #[inline(always)]
    unsafe fn of<V: Vector>(z: V) -> V {
        z
    }

    #[inline(always)]
    unsafe fn slope<V: Vector>(_: V) -> V {
        // SAFETY: the caller's.
        unsafe { V::splat(1.0) }
    }

    #[inline(always)]
    unsafe fn both<V: Vector>(z: V) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe { [z, V::splat(1.0)] }
    }
}

impl Function for Rectifier {
    #[inline(always)]
    unsafe fn of<V: Vector>(z: V) -> V {
        // SAFETY: the caller's.
        unsafe { Activation::Relu.of(z) }
    }

    #[inline(always)]
    unsafe fn slope<V: Vector>(z: V) -> V {
        // SAFETY: the caller's.
        unsafe { z.where_greater(V::splat(0.0), V::splat(1.0), V::splat(0.0)) }
    }

    #[inline(always)]
    unsafe fn both<V: Vector>(z: V) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe { [Self::of(z), Self::slope(z)] }
    }
}

impl Function for Swish {
    #[inline(always)]
    unsafe fn of<V: Vector>(z: V) -> V {
        // SAFETY: the caller's.
        unsafe { z.mul(z.sigmoid()) }
    }

    #[inline(always)]
    unsafe fn slope<V: Vector>(z: V) -> V {
        // SAFETY: the caller's.
        unsafe { Self::both(z)[1] }
    }

    /// `σ(z) z` and `σ(z) (1 + z (1 - σ(z)))`.
    #[inline(always)]
    unsafe fn both<V: Vector>(z: V) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe {
            let (s, one) = (z.sigmoid(), V::splat(1.0));
            [z.mul(s), s.mul(one.sub(s).mul_add(z, one))]
        }
    }
}

/// `with_function!(activation, F => expression)`, compiled for each.
macro_rules! with_function {
    ($activation:expr, $function:ident => $body:expr) => {
        match $activation {
            $crate::image::Activation::None => {
                type $function = $crate::image::training::function::Identity;
                $body
            }
            $crate::image::Activation::Relu => {
                type $function = $crate::image::training::function::Rectifier;
                $body
            }
            $crate::image::Activation::Swish => {
                type $function = $crate::image::training::function::Swish;
                $body
            }
        }
    };
}
pub(super) use with_function;
