# SPDX-License-Identifier: Apache-2.0
"""Writes C++ that names every function of the public headers: it links only if each of them is
declared extern "C" and is in the library. Arguments: the folder of the headers, the output."""
import pathlib
import re
import sys

headers, output = map(pathlib.Path, sys.argv[1:])
names = []
for header in sorted(headers.glob("*.h")):
    names += re.findall(r"HDS_API[^;]*?\b(hds_\w+)\(", header.read_text())
lines = "".join(f"    reinterpret_cast<function>(&{name}),\n" for name in names)
output.write_text(f"""#include <headsds/headsds.h>

using function = void (*)();
extern const function every[];
const function every[] = {{
{lines}}};
""")
