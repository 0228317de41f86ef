"""Mutations of JSON documents, queries, tar archives and plain bytes. Everything is drawn from the generator given."""
import copy
import io
import json
import tarfile

# What stands in for a field's value; strings first, then what only JSON text can say.
TEXTS = ["", " ", "-1", "0", "1", "18446744073709551616", "1e999", "NaN", "true", "null", "\x00", "a\x00b", "a\nb", "\r\nX-A: b",
         "../../fuzz-escape", "/fuzz-escape", "~", "%s%n", "%00", "\ud800", "\u202e", "\U0001f600" * 9, "e\u0301" * 300,
         "x" * 64, "x" * 255, "x" * 256, "x" * 4096, "x" * 70000, "=", "a=b=c", "!=", "a==b", ":", "a:b:c", "@", "sha256:", "@sha256:0",
         "10.0.0.0/8", "10.0.0.0/33", "0.0.0.0/0", "300.1.1.1", "::/0", "::1", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
         "0001-01-01T00:00:00Z", "-9223372036854775808", "9223372036854775807", "1e308", "-1e308", "10h", "1h-5m", "{{.Node.Hostname}}",
         "{{", "{{range}}", "{{.Task.Slot.Slot}}", "[", "*", "?", "web", "net", "solo", "node1", "busybox:latest", "SIGKILL", "SIG", "none",
         "host", "bridge", "container:solo", "container:", "ingress", "overlay", "bind", "tmpfs", "volume", "npipe"]
NUMBERS = ["-1", "0", "-0", "1", "2", "0.5", "-0.5", "1e2", "1e400", "-1e400", "1e-400", "127", "128", "255", "256", "32767", "32768", "65535", "65536",
           "2147483647", "2147483648", "4294967295", "4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808",
           "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "9" * 400, "01", "+1", ".5", "1.", "0x10"]
TOKENS = [b"null", b"true", b"false", b"{}", b"[]", b"[null]", b"{\"\":null}", b"NaN", b"Infinity", b"-Infinity", b"undefined", b"'a'", b"\"\\ud800\"",
          b"\"\\u0000\"", b"\"\xff\xfe\"", b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\"\\x41\"", b"\"unended", b"\"tab\tin it\"", b"",
          b"[" * 300 + b"]" * 300, b"[" * 5000 + b"]" * 5000, b"{\"a\":" * 300 + b"1" + b"}" * 300, b"[" * 100000, b"{\"a\":" * 30000,
          b"[" + b"1," * 20000 + b"1]", b"/* */1", b"\xef\xbb\xbf{}"]


class Raw(bytes):
    """JSON text that goes out as it is."""


class Members(list):
    """An object as (name, value) pairs, so that a name may come twice."""


def opened(value):
    if isinstance(value, dict):
        return Members((name, opened(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return [opened(inner) for inner in value]
    return value


def text_of(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Members):
        return b"{" + b",".join(text_of(str(name)) + b":" + text_of(inner) for name, inner in value) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(text_of(inner) for inner in value) + b"]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=any("\ud800" <= c < "\ue000" for c in value)).encode()
    return json.dumps(value).encode()


def anything(rng):
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(TEXTS)
    if kind < 0.75:
        return Raw(rng.choice(NUMBERS).encode())
    return Raw(rng.choice(TOKENS))


def places(value, into=None):
    """Every (container, index) at which a value stands."""
    into = [] if into is None else into
    if isinstance(value, list):
        for index in range(len(value)):
            into.append((value, index))
            places(value[index][1] if isinstance(value, Members) else value[index], into)
    return into


def get(place):
    value = place[0][place[1]]
    return value[1] if isinstance(place[0], Members) else value


def put(place, value):
    holder, index = place
    holder[index] = (holder[index][0], value) if isinstance(holder, Members) else value


def json_text(rng, document):
    """The document with one to four changes; rarely as it is."""
    root = [opened(document)]
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 2, 4])):
        found = places(root)
        place = rng.choice(found[1:] or found)
        holder, index = place
        if index >= len(holder):
            continue
        change = rng.randrange(12)
        if change < 5:
            put(place, anything(rng))
        elif change == 5 and holder is not root:
            del holder[index]
        elif change == 6:
            holder.insert(index, copy.deepcopy(holder[index]))
        elif change == 7:
            other = rng.choice(found)
            if other[1] < len(other[0]):
                put(place, copy.deepcopy(get(other)))
        elif change == 8:
            put(place, [get(place)] if rng.random() < 0.5 else Members([(rng.choice(TEXTS), get(place))]))
        elif change == 9 and isinstance(holder, Members):
            name = holder[index][0]
            holder[index] = (rng.choice([name.lower(), name.upper(), name + "\u0130", rng.choice(TEXTS)]), holder[index][1])
        elif change == 10 and isinstance(holder, Members):
            for i in range(len(holder)):
                holder[i] = (holder[i][0], None)
        elif change == 11:
            value = get(place)
            put(place, {str: 7, int: "7", bool: 0}.get(type(value), anything(rng)))
    text = b"".join(text_of(value) for value in root[:1])
    if rng.random() < 0.1:
        text = some_bytes(rng, text)
    return text


def some_bytes(rng, data, changes=6):
    """Bytes flipped, cut, doubled, moved, filled in."""
    data = bytearray(data)
    for _ in range(rng.randint(1, changes)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice(b"\x00\xff\x80\"{}[],:\\ \r\n0-")
        elif kind == 2:
            del data[at:at + rng.choice([1, 2, 8, 64, 512, 1 << 20])]
        elif kind == 3:
            piece = bytes(data[at:at + rng.choice([1, 8, 64, 512])])
            data[at:at] = piece * rng.choice([1, 2, 10])
        elif kind == 4:
            data[at:at] = rng.choice(TOKENS + [b"\x00" * 16, b"\xff" * 16, b"\r\n", b"\r\n\r\n", rng.randbytes(rng.choice([1, 16, 512]))])
        elif kind == 5:
            other = rng.randrange(len(data) + 1)
            data[at:at] = bytes(data[other:other + 32])
    return bytes(data[:2 << 20])


def escaped(rng, text):
    """Percent-encoded, as clients do it, or badly."""
    how = rng.random()
    out = []
    for byte in text.encode("utf-8", "surrogatepass"):
        if byte < 0x80 and chr(byte).isalnum() or byte in b"-_.~":
            out.append(chr(byte))
        elif how < 0.05 and byte > 0x20 and byte < 0x7f and byte not in b"&#?":
            out.append(chr(byte))
        else:
            out.append(f"%{byte:02x}" if how < 0.95 else f"%{byte:02X}"[:rng.randint(1, 3)])
    return "".join(out)


def filters(rng, names, values):
    """The text of `filters`, as a map of maps, in the old form of lists, or neither."""
    wanted = Members()
    for _ in range(rng.choice([1, 1, 2, 4])):
        name = rng.choice(names) if names and rng.random() < 0.9 else rng.choice(TEXTS)
        value = rng.choice(values + TEXTS)
        wanted.append((name, [value] if rng.random() < 0.4 else Members([(value, Raw(rng.choice([b"true", b"true", b"false", b"null", b"1"])))])))
    if rng.random() < 0.3:
        return json_text(rng, {"all": [1]}).decode("latin-1") if rng.random() < 0.3 else json_mutated(rng, wanted)
    return text_of(wanted).decode("utf-8", "surrogateescape")


def json_mutated(rng, members):
    root = [members]
    put(rng.choice(places(root)), anything(rng))
    return text_of(root[0]).decode("latin-1")


# Tar archives.

def header_sum(block):
    """The block with its checksum made right."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block)


def tree(rng):
    """A tar of a few members of every kind, some of which try to leave the place where they are unpacked."""
    out = io.BytesIO()
    archive = tarfile.open(fileobj=out, mode="w", format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]))
    for index in range(rng.randint(1, 8)):
        info = tarfile.TarInfo(rng.choice([f"file{index}", f"d/e/f{index}", "d", "link/inside", "../fuzz-escape", "/fuzz-escape", "../../../../../fuzz-escape",
                                           "d/../../fuzz-escape", ".", "..", "", ".wh.file0", "d/.wh..wh..opq", "n" * 99]))
        info.type = rng.choice([tarfile.REGTYPE] * 5 + [tarfile.DIRTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                                                      tarfile.CHRTYPE, tarfile.AREGTYPE, b"S", b"V", b"Z"])
        info.mode = rng.choice([0o644, 0o755, 0o7777, 0])
        info.mtime = rng.choice([0, 1700000000, 8589934591])
        if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info.linkname = rng.choice(["file0", "/", "..", "../../../..", "link", "/proc/self/root", "d", "x" * 99])
            info.name = rng.choice([info.name, "link"])
        data = b"x" * rng.choice([0, 1, 511, 512, 513, 5000]) if info.isreg() else b""
        info.size = len(data)
        try:
            archive.addfile(info, io.BytesIO(data))
        except ValueError:
            pass  # a format that cannot say it
    archive.close()
    return out.getvalue()


def image(rng):
    """What `docker save` writes, with its documents mutated."""
    layer = tree(rng)
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
              "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "fuzz"}]}
    manifest = [{"Config": "config.json", "RepoTags": ["fuzz:loaded"], "Layers": ["layer.tar"]}]
    files = {"manifest.json": manifest, "config.json": config}
    if rng.random() < 0.4:
        files = {"oci-layout": {"imageLayoutVersion": "1.0.0"},
                 "index.json": {"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2, "digest": "sha256:" + "0" * 64}]}, **files}
    out = io.BytesIO()
    archive = tarfile.open(fileobj=out, mode="w")
    for name, document in files.items():
        data = json_text(rng, document)
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    info = tarfile.TarInfo("layer.tar")
    info.size = len(layer)
    archive.addfile(info, io.BytesIO(layer))
    archive.close()
    return out.getvalue()


SIZES = [b"00000000000\x00", b"77777777777\x00", b"\x80" + b"\x00" * 10 + b"\x01", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"            ", b"-0000000001\x00", b"0000000100z\x00"]


def tar(rng, data):
    """The archive with headers changed (with and without a right checksum), cut, or with other bytes in it."""
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        if len(data) < 512:
            break
        at = 512 * rng.randrange(len(data) // 512)
        block = bytearray(data[at:at + 512])
        kind = rng.randrange(6)
        if kind == 0:
            block[124:136] = rng.choice(SIZES)
        elif kind == 1:
            block[156] = rng.randrange(256)
        elif kind == 2:
            block[rng.randrange(512)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            field = rng.choice([(0, 100), (100, 108), (108, 116), (136, 148), (157, 257), (257, 265), (329, 345), (345, 500)])
            size = field[1] - field[0]
            block[field[0]:field[1]] = rng.choice([rng.randbytes(size), b"\xff" * size, b"\x00" * size, b"7" * size, b"../" * size])[:size]
        elif kind == 4:
            data = data[:at + rng.randrange(512)]
            continue
        else:
            block = bytearray(rng.randbytes(512))
        if rng.random() < 0.7:
            block = header_sum(block)
        data = data[:at] + bytes(block) + data[at + 512:]
    return some_bytes(rng, data) if rng.random() < 0.1 else data
