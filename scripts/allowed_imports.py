"""An import contract that lists what a package may import: the type `allowed` in pyproject.toml.

import-linter's own contracts for packages outside the project say what is forbidden, so a new import passes unseen.
"""

import sys

import grimp
from importlinter import Contract, ContractCheck, fields, output


class AllowedImports(Contract):
    """Each module in `source_modules` imports only modules in the same package, in `allowed_modules` or in the standard
    library. A name stands for the module and everything below it. Only direct imports count."""

    type_name = "allowed"

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - import-linter's signature
        allowed = [*self.source_modules, *self.allowed_modules, *sys.stdlib_module_names]
        refused = [
            f"{importer} -> {imported} (line {detail['line_number']})"
            for importer in sorted(graph.modules)
            if _is_in(importer, self.source_modules)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not _is_in(imported, allowed)
            for detail in graph.get_import_details(importer=importer, imported=imported)[:1]
        ]
        unknown = [name for name in self.source_modules if name not in graph.modules]
        return ContractCheck(kept=not refused and not unknown, metadata={"refused": refused, "unknown": unknown})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for name in check.metadata["unknown"]:
            output.print_error(f"There is no module {name}.")
        for line in check.metadata["refused"]:
            output.print_error(line)


def _is_in(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
