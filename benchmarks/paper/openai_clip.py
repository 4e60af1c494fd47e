"""The weights in the files that OpenAI published, without running what else is in them

`RN50.pt` and `ViT-B-16.pt` are TorchScript archives: weights together with a program. `torch.load(weights_only=True)` refuses them, and `torch.jit.load`, which
is deprecated, takes the program in as well. The weights lie beside the program in the same zip file, in a pickle of nested attributes. It is read here by an
unpickler that may name tensors and the program's classes, and nothing else; a class becomes an empty bag for its attributes."""
import pickle
import zipfile

import torch

from tpgm_fastai.models.checkpoints import read_checkpoint

class _Bag:
    "The attributes of an object whose class is not wanted"
    def __setstate__(self, state): self.__dict__.update(state)

def _tensor(storage, offset, size, stride, *_): return storage.as_strided(size, stride, offset).clone()
def _same(x, *_): return x

_dtypes = dict(Double=torch.float64, Float=torch.float32, Half=torch.float16, BFloat16=torch.bfloat16,
               Long=torch.int64, Int=torch.int32, Short=torch.int16, Char=torch.int8, Byte=torch.uint8, Bool=torch.bool)
_allowed = {("collections", "OrderedDict"): dict, ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.jit._pickle", "restore_type_tag"): _same,
            **{("torch.jit._pickle", f"build_{k}list"): _same for k in ("int", "double", "bool", "tensor")},
            **{("torch", f"{k}Storage"): dtype for k,dtype in _dtypes.items()}}

class _Attributes(pickle.Unpickler):
    "Read a TorchScript archive's tensors, and none of its code"
    def __init__(self, archive, root):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive,self.root = archive,root

    def find_class(self, module, name):
        if module.startswith("__torch__"): return _Bag
        if (module, name) in _allowed: return _allowed[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither a tensor nor a layer")

    def persistent_load(self, pid):
        _,dtype,key,*_ = pid
        return torch.frombuffer(bytearray(self.archive.read(f"{self.root}/data/{key}")), dtype=dtype)

def _tensors(bag, prefix=""):
    "Dotted name → tensor"
    found = {}
    for k,v in vars(bag).items():
        if isinstance(v, torch.Tensor): found[prefix + k] = v
        elif isinstance(v, _Bag): found |= _tensors(v, f"{prefix}{k}.")
    return found

def _archive_root(file):
    "The folder inside a TorchScript archive, or None if the file is something else"
    if not zipfile.is_zipfile(file): return None
    with zipfile.ZipFile(file) as z:
        return next((n.rpartition("/")[0] for n in z.namelist() if n.endswith("/constants.pkl")), None)

def read_clip(
    file, # OpenAI's TorchScript archive, or whatever `read_checkpoint` takes
)->dict: # Name → tensor
    "The weights of a CLIP from a file, as `clip_model(weights=)` takes them (`ValueError` where it holds none)"
    root = _archive_root(file)
    if root is None: return read_checkpoint(file)
    try:
        with zipfile.ZipFile(file) as z: state = _tensors(_Attributes(z, root).load())
    except Exception as e: raise ValueError(f"{file} cannot be read as an archive of weights: {e}.") from None
    if not state: raise ValueError(f"{file} holds no weights: it is an archive of code alone.")
    return state
