#!/usr/bin/env python3
"""Checks what `intramuros audit export` wrote, with Python's standard library and OpenSSL alone.

    python3 verify-export.py FOLDER KEY

FOLDER is the export. KEY is the public key that the log is signed with, as text ("name+id+base64") or a file that holds it: the one
that you were told when the platform was set up, not the file "vkey" of the export, which whoever changed the export could change too.

It shows that each record of the export stood in the log, unchanged, when the log's owner signed the checkpoint in the export.
Exit status: 0 it holds, 1 it does not, 2 something is missing. Nothing is written, and nothing is asked of a network.

The formats are public: RFC 6962 (the tree), c2sp.org/signed-note and c2sp.org/tlog-checkpoint (the signature),
c2sp.org/tlog-tiles (the hashes).
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile


class Wrong(Exception):
    """Something in the export is not what was logged."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# The signature (c2sp.org/signed-note): Ed25519 over all lines up to the empty one.


def verify_checkpoint(note, vkey):
    """Returns the size and the root hash of the tree that was signed."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    key = base64.b64decode(encoded, validate=True)
    if key[0] != 1 or len(key) != 33:
        raise Wrong("the key is not an Ed25519 key of signed notes")
    if sha256(name.encode(), b"\n", key)[:4].hex() != key_id:
        raise Wrong("the key's id is not that of the key: was it copied whole?")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash == "\u2014" and signer == name and signature[:4].hex() == key_id:
            verify_ed25519(key[1:], text.encode(), signature[4:])
            break
    else:
        raise Wrong("the checkpoint is not signed with this key")
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), base64.b64decode(root, validate=True)


def verify_ed25519(public_key, message, signature):
    # RFC 8410: how an Ed25519 key is written for OpenSSL.
    der = bytes.fromhex("302a300506032b6570032100") + public_key
    with tempfile.TemporaryDirectory() as folder:
        files = {"key": der, "message": message, "signature": signature}
        for file, content in files.items():
            pathlib.Path(folder, file).write_bytes(content)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key", "-rawin", "-in", "message", "-sigfile", "signature"]
        if subprocess.run(command, cwd=folder, capture_output=True, timeout=60).returncode != 0:
            raise Wrong("the signature of the checkpoint is wrong")


# The tree (RFC 6962) in tiles of 256 hashes (c2sp.org/tlog-tiles).


def root_of(hashes):
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [sha256(b"\x01", left, right) for left, right in zip(hashes[::2], hashes[1::2])]
    return hashes[0]


class Tiles:
    def __init__(self, folder, size, root):
        self.folder = folder
        self.size = size
        self.proven = {}
        # The tiles that are not full end the tree at each level. They hold, from the left, roots of ever smaller perfect trees.
        perfect = []
        level = 0
        while 256**level <= size:
            width = size // 256**level % 256
            if width > 0:
                hashes = self.read(level, size // 256 ** (level + 1), width)
                self.proven[level, size // 256 ** (level + 1)] = hashes
                perfect.append(hashes)
            level += 1
        subtrees = []
        for hashes in reversed(perfect):
            start = 0
            for bit in (128, 64, 32, 16, 8, 4, 2, 1):
                if len(hashes) & bit:
                    subtrees.append(root_of(hashes[start : start + bit]))
                    start += bit
        found = subtrees.pop() if subtrees else sha256(b"")
        while subtrees:
            found = sha256(b"\x01", subtrees.pop(), found)
        if found != root:
            raise Wrong("the tiles at the end of the tree do not make the root that was signed")

    def read(self, level, index, width):
        digits = str(index)
        digits = digits.zfill((len(digits) + 2) // 3 * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
        path = f"tile/{level}/{name}" + ("" if width == 256 else f".p/{width}")
        try:
            content = (self.folder / path).read_bytes()
        except FileNotFoundError:
            raise Wrong(f"{path} is missing") from None
        if len(content) != 32 * width:
            raise Wrong(f"{path} has not {width} hashes")
        return [content[at : at + 32] for at in range(0, len(content), 32)]

    def tile(self, level, index):
        """The hashes of a tile, once the tile above says that they are the right ones."""
        if (level, index) not in self.proven:
            hashes = self.read(level, index, 256)
            if root_of(hashes) != self.tile(level + 1, index // 256)[index % 256]:
                raise Wrong(f"tile {index} of level {level} is not what was signed")
            self.proven[level, index] = hashes
        return self.proven[level, index]

    def leaf(self, index):
        return self.tile(0, index // 256)[index % 256]


def verify(folder, vkey):
    about = json.loads((folder / "archive.json").read_text("ascii"))
    origin, size, root = verify_checkpoint((folder / "checkpoint").read_text("utf-8"), vkey)
    tiles = Tiles(folder, size, root)
    count = 0
    last = -1
    with (folder / "records.jsonl").open(encoding="ascii") as lines:
        for line in lines:
            count += 1
            entry = json.loads(line)
            index = entry["index"]
            # RFC 8785: what was hashed is the record's JSON with its keys in order and no spaces.
            record = json.dumps(entry["record"], sort_keys=True, separators=(",", ":")).encode("ascii")
            if not last < index < size:
                raise Wrong(f"line {count}: record {index} is out of order, or beyond the checkpoint")
            if sha256(b"\x00", record) != tiles.leaf(index):
                raise Wrong(f"line {count}: record {index} is not the one that was logged")
            last = index
    if count != about["records"]:
        raise Wrong(f"there are {count} records, and archive.json tells of {about['records']}")
    print(f"{count} records are what stands in the log {origin}, whose checkpoint of {size} entries is signed with the key.")
    if about["team"] == "":
        print(f"{about['toIndex'] - about['fromIndex'] - count} entries of that part of the log are not in the export: pruned, or of another time.")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, key = pathlib.Path(sys.argv[1]), sys.argv[2]
    try:
        verify(folder, pathlib.Path(key).read_text("ascii") if pathlib.Path(key).is_file() else key)
    except (Wrong, ValueError, KeyError, IndexError, TypeError) as wrong:
        print(f"NOT what was logged: {wrong}", file=sys.stderr)
        return 1
    except OSError as missing:
        print(f"It could not be checked: {missing}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
