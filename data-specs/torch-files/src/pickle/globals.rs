//! The list of classes and functions that are plain data. Everything else is refused by name.

use crate::tensor::Dtype;

/// An allowed global. None of them is ever called; each names a shape of data that `construct.rs` knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    DefaultDict,
    Counter,
    Namespace,
    /// `copyreg._reconstructor`: how protocols 0 and 1 spell an object.
    Reconstructor,
    /// `_codecs.encode`: how protocols 0 to 2 spell `bytes`.
    Encode,
    Bytes,
    ByteArray,
    Set,
    FrozenSet,
    /// Legal as a name only, such as the `float` of `defaultdict(float)`.
    Type(&'static str),
    TorchSize,
    TorchDevice,
    TorchDtype(Dtype),
    /// `torch.FloatStorage` and its kin; without a dtype for `UntypedStorage`.
    TorchStorage(Option<Dtype>),
    TorchTensor,
    TorchParameter,
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    RebuildParameter,
    RebuildParameterWithState,
    RebuildFromType,
    NumpyArray,
    NumpyDtype,
    NumpyReconstruct,
    NumpyScalar,
    NumpyFromBuffer,
}

impl Global {
    pub(super) fn lookup(module: &str, name: &str) -> Option<Global> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("collections", "defaultdict") => Global::DefaultDict,
            ("collections", "Counter") => Global::Counter,
            ("argparse", "Namespace") => Global::Namespace,
            ("copy_reg" | "copyreg", "_reconstructor") => Global::Reconstructor,
            ("_codecs", "encode") => Global::Encode,
            ("__builtin__" | "builtins", name) => return builtin(name),
            ("torch", name) => return torch(name),
            ("torch.storage", "UntypedStorage") => Global::TorchStorage(None),
            ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
            ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch._utils", "_rebuild_parameter_with_state") => Global::RebuildParameterWithState,
            ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
            ("torch.nn.parameter", "Parameter") => Global::TorchParameter,
            ("numpy", "ndarray") => Global::NumpyArray,
            ("numpy", "dtype") => Global::NumpyDtype,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::NumpyReconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::NumpyScalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Global::NumpyFromBuffer,
            _ => return None,
        })
    }

    /// The name under which it shows as [`Value::Name`](crate::Value::Name) where a file holds the thing itself.
    pub(super) fn name(self) -> String {
        match self {
            Global::OrderedDict => "collections.OrderedDict",
            Global::DefaultDict => "collections.defaultdict",
            Global::Counter => "collections.Counter",
            Global::Namespace => "argparse.Namespace",
            Global::Reconstructor => "copyreg._reconstructor",
            Global::Encode => "_codecs.encode",
            Global::Bytes => "builtins.bytes",
            Global::ByteArray => "builtins.bytearray",
            Global::Set => "builtins.set",
            Global::FrozenSet => "builtins.frozenset",
            Global::Type(name) => name,
            Global::TorchSize => "torch.Size",
            Global::TorchDevice => "torch.device",
            Global::TorchDtype(dtype) => return format!("torch.{}", dtype.name()),
            Global::TorchStorage(Some(dtype)) => return format!("torch.storage of {}", dtype.name()),
            Global::TorchStorage(None) => "torch.UntypedStorage",
            Global::TorchTensor => "torch.Tensor",
            Global::TorchParameter => "torch.nn.parameter.Parameter",
            Global::RebuildTensor => "torch._utils._rebuild_tensor",
            Global::RebuildTensorV2 => "torch._utils._rebuild_tensor_v2",
            Global::RebuildTensorV3 => "torch._utils._rebuild_tensor_v3",
            Global::RebuildParameter => "torch._utils._rebuild_parameter",
            Global::RebuildParameterWithState => "torch._utils._rebuild_parameter_with_state",
            Global::RebuildFromType => "torch._tensor._rebuild_from_type_v2",
            Global::NumpyArray => "numpy.ndarray",
            Global::NumpyDtype => "numpy.dtype",
            Global::NumpyReconstruct => "numpy._core.multiarray._reconstruct",
            Global::NumpyScalar => "numpy._core.multiarray.scalar",
            Global::NumpyFromBuffer => "numpy._core.numeric._frombuffer",
        }
        .to_owned()
    }
}

/// What the user can do about a refused global.
pub(super) fn hint(module: &str) -> &'static str {
    match module.split('.').next() {
        Some("torch" | "torchvision" | "transformers" | "pytorch_transformers") => {
            "save `model.state_dict()` with torch.save, or as safetensors, instead of the object itself"
        }
        Some("numpy") => "re-save the array with numpy.save, or as a tensor",
        _ => {
            "re-save as dicts, lists, numbers, text and tensors only; never unpickle such a file you do not trust"
        }
    }
}

fn builtin(name: &str) -> Option<Global> {
    Some(match name {
        "bytes" => Global::Bytes,
        "bytearray" => Global::ByteArray,
        "set" => Global::Set,
        "frozenset" => Global::FrozenSet,
        "int" | "long" => Global::Type("builtins.int"),
        "float" => Global::Type("builtins.float"),
        "bool" => Global::Type("builtins.bool"),
        "str" | "unicode" => Global::Type("builtins.str"),
        "list" => Global::Type("builtins.list"),
        "tuple" => Global::Type("builtins.tuple"),
        "dict" => Global::Type("builtins.dict"),
        "object" => Global::Type("builtins.object"),
        _ => return None,
    })
}

fn torch(name: &str) -> Option<Global> {
    let storage = |dtype| Some(Global::TorchStorage(Some(dtype)));
    match name {
        "Size" => Some(Global::TorchSize),
        "device" => Some(Global::TorchDevice),
        "Tensor" => Some(Global::TorchTensor),
        "UntypedStorage" => Some(Global::TorchStorage(None)),
        "DoubleStorage" => storage(Dtype::Float64),
        "FloatStorage" => storage(Dtype::Float32),
        "HalfStorage" => storage(Dtype::Float16),
        "BFloat16Storage" => storage(Dtype::BFloat16),
        "LongStorage" => storage(Dtype::Int64),
        "IntStorage" => storage(Dtype::Int32),
        "ShortStorage" => storage(Dtype::Int16),
        "CharStorage" => storage(Dtype::Int8),
        "ByteStorage" => storage(Dtype::UInt8),
        "BoolStorage" => storage(Dtype::Bool),
        "ComplexFloatStorage" => storage(Dtype::Complex64),
        "ComplexDoubleStorage" => storage(Dtype::Complex128),
        _ => DTYPES.iter().find(|d| d.name() == name).map(|&d| Global::TorchDtype(d)),
    }
}

const DTYPES: [Dtype; 17] = [
    Dtype::Float64,
    Dtype::Float32,
    Dtype::Float16,
    Dtype::BFloat16,
    Dtype::Float8E4M3Fn,
    Dtype::Float8E5M2,
    Dtype::Int64,
    Dtype::Int32,
    Dtype::Int16,
    Dtype::Int8,
    Dtype::UInt64,
    Dtype::UInt32,
    Dtype::UInt16,
    Dtype::UInt8,
    Dtype::Bool,
    Dtype::Complex64,
    Dtype::Complex128,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_not_on_the_list() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "exec"),
            ("builtins", "getattr"),
            ("__builtin__", "__import__"),
            ("subprocess", "Popen"),
            ("functools", "partial"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch._utils", "_rebuild_device_tensor_from_numpy"),
            ("collections", "OrderedDict.fromkeys"),
            ("numpy", "load"),
        ] {
            assert_eq!(Global::lookup(module, name), None, "{module}.{name}");
        }
    }
}
