"How nbdev writes a second module from one notebook: cells that say `#| export callback.ftp` beside `#| default_exp methods.ftp`."
from nbdev.config import get_config
from nbdev.maker import ModuleMaker
from nbdev.process import Processor

class SecondModules(Processor):
    "Begin the module that `#| export room.module` names anew, before nbdev appends the notebook's cells to it"
    def begin(self): self.begun = set()
    def _export_(self, cell, module=None):
        if module is None or module in self.begun: return
        self.begun.add(module)
        title = [c for c in self.nb.cells if c.cell_type == "markdown" and c.source.startswith("# ")][:1]
        ModuleMaker(get_config().lib_path, module, self.nb.path_).make(title, [])
    _exporti_ = _export_
