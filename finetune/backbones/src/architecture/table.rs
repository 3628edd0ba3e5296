//! The networks by timm's names, with the tags of timm's weights. Also the networks that the ResNeXt paper compares, and
//! a small one of each family under a name of our own.

use crate::efficientnet::Scaling;
use crate::resnext::Description;

/// A network.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) family: Family,
    /// Tags of timm's weights.
    pub(super) tags: &'static [&'static str],
}

#[derive(Debug, PartialEq)]
pub(super) enum Family {
    EfficientNet {
        scaling: Scaling,
        /// Whether the name is one of those ported from TensorFlow.
        tensorflow: bool,
        /// Epsilon of torchvision's network of that name, where it has one.
        torchvision: Option<f64>,
    },
    ResNeXt(Description),
}

const fn native(
    name: &'static str,
    scaling: [f64; 2],
    torchvision: Option<f64>,
    tags: &'static [&'static str],
) -> Entry {
    let scaling = Scaling { width: scaling[0], depth: scaling[1] };
    Entry { name, family: Family::EfficientNet { scaling, tensorflow: false, torchvision }, tags }
}

const fn ported(name: &'static str, scaling: [f64; 2], tags: &'static [&'static str]) -> Entry {
    let scaling = Scaling { width: scaling[0], depth: scaling[1] };
    Entry { name, family: Family::EfficientNet { scaling, tensorflow: true, torchvision: None }, tags }
}

const fn resnext(
    name: &'static str,
    blocks: [usize; 4],
    cardinality: usize,
    group_width: usize,
    tags: &'static [&'static str],
) -> Entry {
    Entry {
        name,
        family: Family::ResNeXt(Description { blocks, cardinality, group_width, ..PUBLISHED }),
        tags,
    }
}

/// What all published ResNeXts have in common, but for the layers of their stages.
const PUBLISHED: Description = Description {
    blocks: [0; 4],
    cardinality: 1,
    group_width: 64,
    planes: 64,
    stem: 64,
    is_for_small: false,
    has_shortcuts: true,
};

/// Paper: 1611.05431, section 5.3: 3 x 3 of 64 channels, three stages of three blocks, for pictures of 32 x 32.
const fn cifar(name: &'static str, cardinality: usize) -> Entry {
    let description =
        Description { blocks: [3, 3, 3, 0], cardinality, group_width: 64, is_for_small: true, ..PUBLISHED };
    Entry { name, family: Family::ResNeXt(description), tags: &[] }
}

/// Width and depth.
const B0: [f64; 2] = [1.0, 1.0];
const B1: [f64; 2] = [1.0, 1.1];
const B2: [f64; 2] = [1.1, 1.2];
const B3: [f64; 2] = [1.2, 1.4];
const B4: [f64; 2] = [1.4, 1.8];
const B5: [f64; 2] = [1.6, 2.2];
const B6: [f64; 2] = [1.8, 2.6];
const B7: [f64; 2] = [2.0, 3.1];
const B8: [f64; 2] = [2.2, 3.6];
const L2: [f64; 2] = [4.3, 5.3];

const DEPTH_50: [usize; 4] = [3, 4, 6, 3];
const DEPTH_101: [usize; 4] = [3, 4, 23, 3];
const DEPTH_152: [usize; 4] = [3, 8, 36, 3];

const SSL: &str = "fb_ssl_yfcc100m_ft_in1k";
const SWSL: &str = "fb_swsl_ig1b_ft_in1k";
const WSL: &str = "fb_wsl_ig1b_ft_in1k";

/// Half as wide and half as deep as B0, for small pictures and short trainings. timm builds it by
/// `timm.models.efficientnet._gen_efficientnet("efficientnet_b0", channel_multiplier=0.5, depth_multiplier=0.5)`.
const HALF: [f64; 2] = [0.5, 0.5];
/// Two blocks a stage, half of the usual channels, 16 groups of 4 at first. timm builds it by
/// `timm.models.resnet.ResNet(Bottleneck, (2, 2, 2, 2), cardinality=16, base_width=8, channels=(32, 64, 128, 256))`.
const SMALL_RESNEXT: Description =
    Description { blocks: [2, 2, 2, 2], cardinality: 16, group_width: 4, planes: 32, ..PUBLISHED };

pub(super) static TABLE: [Entry; 43] = [
    native("efficientnet_b0", B0, Some(1e-5), &["ra_in1k", "ra4_e3600_r224_in1k"]),
    native("efficientnet_b1", B1, Some(1e-5), &["ft_in1k", "ra4_e3600_r240_in1k"]),
    native("efficientnet_b2", B2, Some(1e-5), &["ra_in1k"]),
    native("efficientnet_b3", B3, Some(1e-5), &["ra2_in1k"]),
    native("efficientnet_b4", B4, Some(1e-5), &["ra2_in1k"]),
    native("efficientnet_b5", B5, Some(1e-3), &["sw_in12k_ft_in1k", "sw_in12k"]),
    native("efficientnet_b6", B6, Some(1e-3), &[]),
    native("efficientnet_b7", B7, Some(1e-3), &[]),
    native("efficientnet_b8", B8, None, &[]),
    native("efficientnet_l2", L2, None, &[]),
    ported("tf_efficientnet_b0", B0, &["ns_jft_in1k", "ap_in1k", "aa_in1k", "in1k"]),
    ported("tf_efficientnet_b1", B1, &["ns_jft_in1k", "ap_in1k", "aa_in1k", "in1k"]),
    ported("tf_efficientnet_b2", B2, &["ns_jft_in1k", "ap_in1k", "aa_in1k", "in1k"]),
    ported("tf_efficientnet_b3", B3, &["ns_jft_in1k", "ap_in1k", "aa_in1k", "in1k"]),
    ported("tf_efficientnet_b4", B4, &["ns_jft_in1k", "ap_in1k", "aa_in1k", "in1k"]),
    ported("tf_efficientnet_b5", B5, &["ns_jft_in1k", "ap_in1k", "ra_in1k", "aa_in1k", "in1k"]),
    ported("tf_efficientnet_b6", B6, &["ns_jft_in1k", "ap_in1k", "aa_in1k"]),
    ported("tf_efficientnet_b7", B7, &["ns_jft_in1k", "ap_in1k", "ra_in1k", "aa_in1k"]),
    ported("tf_efficientnet_b8", B8, &["ap_in1k", "ra_in1k"]),
    ported("tf_efficientnet_l2", L2, &["ns_jft_in1k", "ns_jft_in1k_475"]),
    resnext(
        "resnext50_32x4d",
        DEPTH_50,
        32,
        4,
        &[
            "a1h_in1k",
            "a1_in1k",
            "a2_in1k",
            "a3_in1k",
            "ra_in1k",
            "tv_in1k",
            "tv2_in1k",
            SSL,
            SWSL,
            "gluon_in1k",
        ],
    ),
    resnext("resnext50_32x8d", DEPTH_50, 32, 8, &[]),
    resnext("resnext50_64x4d", DEPTH_50, 64, 4, &[]),
    resnext("resnext101_32x4d", DEPTH_101, 32, 4, &[SSL, SWSL, "gluon_in1k"]),
    resnext("resnext101_32x8d", DEPTH_101, 32, 8, &["tv_in1k", "tv2_in1k", WSL, SSL, SWSL]),
    resnext("resnext101_64x4d", DEPTH_101, 64, 4, &["c1_in1k", "tv_in1k", "gluon_in1k"]),
    resnext("resnext101_32x16d", DEPTH_101, 32, 16, &[WSL, SSL, SWSL]),
    resnext("resnext101_32x32d", DEPTH_101, 32, 32, &[WSL]),
    resnext("resnext101_32x48d", DEPTH_101, 32, 48, &[WSL]),
    resnext("resnext152_32x4d", DEPTH_152, 32, 4, &[]),
    resnext("resnext152_32x8d", DEPTH_152, 32, 8, &[]),
    resnext("resnext152_64x4d", DEPTH_152, 64, 4, &[]),
    // Paper: 1611.05431, tables 3 and 4
    resnext("resnet50", DEPTH_50, 1, 64, &[]),
    resnext("resnext50_2x40d", DEPTH_50, 2, 40, &[]),
    resnext("resnext50_4x24d", DEPTH_50, 4, 24, &[]),
    resnext("resnext50_8x14d", DEPTH_50, 8, 14, &[]),
    resnext("resnet101", DEPTH_101, 1, 64, &[]),
    resnext("resnext101_2x64d", DEPTH_101, 2, 64, &[]),
    resnext("resnext101_1x100d", DEPTH_101, 1, 100, &[]),
    // the same, table 7
    cifar("resnext29_8x64d", 8),
    cifar("resnext29_16x64d", 16),
    native("efficientnet_half", HALF, None, &[]),
    Entry { name: "resnext26_16x4d", family: Family::ResNeXt(SMALL_RESNEXT), tags: &[] },
];
