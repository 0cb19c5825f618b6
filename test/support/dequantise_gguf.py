"""Copies a GGUF file with all its weights as 32-bit floats.

Usage: dequantise_gguf.py INPUT OUTPUT
"""

import sys

import gguf


def main(source: str, output: str) -> None:
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(output, reader.get_field("general.architecture").contents())
    for name, field in reader.fields.items():
        # The writer writes these itself.
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        sub_type = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        value = int(gguf.LlamaFileType.ALL_F32) if name == "general.file_type" else field.contents()
        writer.add_key_value(name, value, field.types[0], sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
