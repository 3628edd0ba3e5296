//! timm's keys in torchvision's words and back. ResNeXt needs none of this: its keys are the same in both.

/// Key parts of a block's layers in timm and in torchvision, in the first stage, which does not expand.
const FIRST_STAGE: [(&str, &str); 6] = [
    ("conv_dw", "block.0.0"),
    ("bn1", "block.0.1"),
    ("se.conv_reduce", "block.1.fc1"),
    ("se.conv_expand", "block.1.fc2"),
    ("conv_pw", "block.2.0"),
    ("bn2", "block.2.1"),
];

/// The same in the other stages.
const OTHER_STAGES: [(&str, &str); 8] = [
    ("conv_pw", "block.0.0"),
    ("bn1", "block.0.1"),
    ("conv_dw", "block.1.0"),
    ("bn2", "block.1.1"),
    ("se.conv_reduce", "block.2.fc1"),
    ("se.conv_expand", "block.2.fc2"),
    ("conv_pwl", "block.3.0"),
    ("bn3", "block.3.1"),
];

/// The same outside of the blocks.
const AROUND: [(&str, &str); 5] = [
    ("conv_stem", "features.0.0"),
    ("bn1", "features.0.1"),
    ("conv_head", "features.8.0"),
    ("bn2", "features.8.1"),
    ("classifier", "classifier.1"),
];

/// torchvision's key of an EfficientNet tensor that has this key in timm; `None` if timm has no such key.
pub(crate) fn in_torchvision(timm: &str) -> Option<String> {
    let (layer, tensor) = timm.rsplit_once('.')?;
    let Some(block) = layer.strip_prefix("blocks.") else {
        return AROUND
            .iter()
            .find(|(ours, _)| *ours == layer)
            .map(|(_, theirs)| format!("{theirs}.{tensor}"));
    };
    let (stage, rest) = block.split_once('.')?;
    let (j, part) = rest.split_once('.')?;
    let stage: usize = stage.parse().ok()?;
    let parts = if stage == 0 { FIRST_STAGE.as_slice() } else { &OTHER_STAGES };
    let (_, theirs) = parts.iter().find(|(ours, _)| *ours == part)?;
    Some(format!("features.{}.{j}.{theirs}.{tensor}", stage + 1))
}

/// Whether only torchvision would call a tensor of an EfficientNet this.
pub(crate) fn is_torchvisions(key: &str) -> bool {
    key.starts_with("features.") || key.starts_with("classifier.1.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::architecture::Architecture;

    #[test]
    fn keys_of_each_kind() {
        let pairs = [
            ("conv_stem.weight", "features.0.0.weight"),
            ("blocks.0.1.conv_pw.weight", "features.1.1.block.2.0.weight"),
            ("blocks.6.0.conv_pw.weight", "features.7.0.block.0.0.weight"),
            ("blocks.3.12.se.conv_expand.bias", "features.4.12.block.2.fc2.bias"),
            ("bn2.running_var", "features.8.1.running_var"),
            ("classifier.bias", "classifier.1.bias"),
        ];
        for (timm, torchvision) in pairs {
            assert_eq!(in_torchvision(timm).as_deref(), Some(torchvision));
            assert!(is_torchvisions(torchvision) && !is_torchvisions(timm));
        }
        assert_eq!(in_torchvision("blocks.0.0.conv_pwl.weight"), None);
        assert_eq!(in_torchvision("fc.weight"), None);
    }

    /// A name for every tensor, and none twice: the way back exists.
    #[test]
    fn every_key_has_one_counterpart() {
        for name in Architecture::names().filter(|name| name.contains("efficientnet")) {
            let architecture: Architecture = name.parse().unwrap();
            let tensors = architecture.tensors(1000);
            let theirs: BTreeSet<_> = tensors.iter().map(|(key, _)| in_torchvision(key).unwrap()).collect();
            assert_eq!(theirs.len(), tensors.len(), "{name}");
        }
    }
}
