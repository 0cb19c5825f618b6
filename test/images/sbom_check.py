"""Holds bills of materials (files that are named) against the official JSON schema of CycloneDX 1.6, in its strict form."""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

validator = JsonStrictValidator(SchemaVersion.V1_6)
for name in sys.argv[1:]:
    fault = validator.validate_str(Path(name).read_text())
    print(f"{Path(name).name}: {'valid' if fault is None else fault.data.message[:200]}")
